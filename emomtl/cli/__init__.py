"""The command line: every command reads its arguments, calls one function and prints what it gives."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit code 0, 1 for what the user can mend, 2 for usage, 130 and 143 for signals; else a traceback."""
    from emomtl.cli.app import command
    from emomtl.cli.output import say_bug, say_problems, say_stopped
    from emomtl.cli.streams import prepare
    from emomtl.errors import EmomtlError

    prepare()
    os.environ["MPLBACKEND"] = "agg"  # pictures go into files only, and matplotlib does not import with a name it does not know
    try:
        code = command()(list(arguments) if arguments is not None else None, standalone_mode=False)
    except EmomtlError as error:
        say_problems(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        _end_without_output(error)
        handled = say_stopped(error)
        if handled is None:
            sys.excepthook = say_bug
            raise
        sys.exit(handled)
    _end_without_output()
    sys.exit(code if isinstance(code, int) else 0)


def _end_without_output(seen: BaseException | None = None) -> None:
    """End the command with one line where what it printed could not be written."""
    from emomtl.cli.output import say
    from emomtl.cli.streams import failed_output

    try:
        error = failed_output(seen)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    if error is not None:
        say(f"error: standard output cannot be written: {os.strerror(error.errno or 0)} (print it into another file)")
        sys.exit(1)
