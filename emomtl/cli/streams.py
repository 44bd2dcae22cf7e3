"""Standard output and error as they come: closed, on a full disk, of a terminal that knows few characters."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from contextlib import suppress

ESCAPING = "emomtl-escape"
"""The name of our handler for characters that a stream cannot encode."""


def prepare() -> None:
    """Make both streams fit to be printed to, whatever a shell has made of them."""
    closed = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]
    if closed:
        # A closed descriptor would be given to the next file that is opened, and be printed into.
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(handle)
    for name in closed:
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # lives as long as the process
    codecs.register_error(ESCAPING, _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors=ESCAPING)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Characters that cannot be encoded as `\u00e9`, which JSON reads back as they were."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(json.dumps(one)[1:-1] for one in error.object[error.start : error.end]), error.end


def failed_output(seen: BaseException | None = None) -> OSError | None:
    """Why standard output does not take what was printed; None where it does. Afterwards it takes anything, and drops it.

    `seen` is an error that may be of standard output: Python drops what it could not write, so it is tried again.
    """
    try:
        sys.stdout.flush()
        if isinstance(seen, OSError) and seen.errno is not None and seen.filename is None:
            with suppress(ValueError):
                os.write(sys.stdout.fileno(), b"\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return error
    return None
