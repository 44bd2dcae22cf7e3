"""Standard output and error, made safe to print to: closed, on a full disk, or not in UTF-8."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from contextlib import suppress

ESCAPING = "emomtl-escape"
"""The name under which our handler for characters that a stream cannot encode is registered."""


def prepare() -> None:
    """Replace streams that are closed, and escape characters that standard output cannot encode."""
    closed = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]
    if closed:
        # The next file that is opened would get the closed descriptor, and be printed into.
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(handle)
    for name in closed:
        # open until the process ends
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(ESCAPING, _escaped)
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper) and stdout.errors in ("strict", "surrogateescape"):
        stdout.reconfigure(errors=ESCAPING)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write characters that cannot be encoded as `\u00e9`, which JSON reads back."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(json.dumps(character)[1:-1] for character in characters), error.end


def failed_output(seen: BaseException | None = None) -> OSError | None:
    """The error of standard output, such as a full disk; None if everything was written.

    After an error standard output goes to the null device. `seen` is an error that may come from
    standard output: Python drops what it could not write, so a byte is written to find out.
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
