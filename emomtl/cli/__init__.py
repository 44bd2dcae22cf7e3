"""The command line: every command reads its arguments, calls one function and prints what it gives."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit code 0, 1 for what the user can mend, 2 for usage, 130 and 143 for signals; else a traceback."""
    from emomtl.cli.app import command
    from emomtl.cli.output import say_bug, say_problems, say_stopped
    from emomtl.errors import EmomtlError

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
        handled = say_stopped(error)
        if handled is None:
            sys.excepthook = say_bug
            raise
        sys.exit(handled)
    sys.exit(code if isinstance(code, int) else 0)
