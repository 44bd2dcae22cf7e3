"""The command line: a command reads its arguments, calls one function and prints the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Exit codes: 0; 1 for what the user can mend; 2 for wrong usage; 130 and 143 for signals. A bug
    prints a traceback.
    """
    from emomtl.cli.app import command
    from emomtl.cli.output import exit_code_of, say_bug, say_problems
    from emomtl.cli.streams import prepare
    from emomtl.errors import EmomtlError

    prepare()
    # Figures are only written into files; with an unknown backend matplotlib does not import.
    os.environ["MPLBACKEND"] = "agg"
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
        exit_code = exit_code_of(error)
        if exit_code is None:
            sys.excepthook = say_bug
            raise
        sys.exit(exit_code)
    _end_without_output()
    sys.exit(code if isinstance(code, int) else 0)


def _end_without_output(seen: Exception | None = None) -> None:
    """Exit with one message if standard output could not be written; `seen` may be the reason."""
    from emomtl.cli.output import say
    from emomtl.cli.streams import failed_output

    try:
        error = failed_output(seen)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    if error is not None:
        reason = os.strerror(error.errno or 0)
        say(f"error: standard output cannot be written: {reason} (print it into another file)")
        sys.exit(1)
