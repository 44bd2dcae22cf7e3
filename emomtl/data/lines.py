"""The lines of a text file: decoded strictly, counted, and never more than one row in memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from emomtl.data.source_file import LONGEST, SourceFile
from emomtl.errors import EmomtlError

BLOCK = 2**20
SAVE_AS_UTF8 = "save it as UTF-8, or give the layout's `encoding`"
AS_UTF16 = (
    'save it as UTF-8, or give `encoding = "utf-16"`; '
    'Excel\'s "Unicode text" has tabs, too: `delimiter = "\\t"`'
)
MAGIC = {
    b"\xff\xfe\x00\x00": ("UTF-32", 'save it as UTF-8, or give `encoding = "utf-32"`'),
    b"\xff\xfe": ("UTF-16", AS_UTF16),
    b"\xfe\xff": ("UTF-16", AS_UTF16),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook of the old kind", "save it as CSV (UTF-8)"),
    b"\x1f\x8b": ("gzip-compressed", "unpack it first"),
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "unpack it, or save it as CSV"),
    b"PAR1": ("Parquet", "let its name end in .parquet"),
}
"""The first bytes of files that are no UTF-8 text: what they are, and the remedy."""


@dataclass
class Position:
    """How far a file was read: lines so far, and the current row's first line and characters."""

    line: int = 0
    start: int = 1
    size: int = 0

    def next_row(self) -> None:
        """The next row starts on the next line."""
        self.start, self.size = self.line + 1, 0


def lines(file: SourceFile, newline: str, position: Position) -> Iterator[str]:
    r"""Each line with its end; `newline` as in `open` ("": \n, \r, \r\n end a line; "\n": only it).

    `position` is kept up to date; a caller calls its `next_row` before each row. EmomtlError for an
    empty file, another encoding, a NUL byte, and a row over 32 MB.
    """
    _check_magic(file)
    try:
        with file.path.open(encoding=file.layout.encoding, newline=newline) as stream:
            while text := stream.readline(LONGEST + 1):
                position.line += 1
                position.size += len(text)
                if position.size > LONGEST:
                    remedy = "a quote that is opened and never closed?"
                    raise file.error("this row is longer than 32 MB", remedy, position.start)
                if "\0" in text:
                    remedy = "is this UTF-16, or no text file at all?"
                    raise file.error("a NUL byte", remedy, position.line)
                if position.line == 1:
                    text = text.removeprefix("\ufeff")
                yield text
    except UnicodeError as error:
        raise _undecodable(file) from error
    except OSError as error:
        raise file.unreadable(error) from error


def _check_magic(file: SourceFile) -> None:
    """Refuse a file whose first bytes are those of another format or encoding."""
    try:
        with file.path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise file.unreadable(error) from error
    if not head:
        raise file.error("the file is empty")
    if file.layout.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return
    # Latin letters in UTF-16 have a zero in every second byte.
    zeros = [place for place, byte in enumerate(head) if byte == 0]
    if len(head) == 4 and zeros in ([1, 3], [0, 2]):
        order = "le" if zeros == [1, 3] else "be"
        found = "the file is UTF-16 without a mark at its start"
        raise file.error(found, f'give `encoding = "utf-16-{order}"`')
    for magic, (what, remedy) in MAGIC.items():
        if head.startswith(magic):
            raise file.error(f"the file is {what}, not {file.layout.encoding} text", remedy)


def _undecodable(file: SourceFile) -> EmomtlError:
    """The error for the first bytes that do not decode, with their offset and line.

    They are searched for in a pass of their own, since a text stream knows only the block.
    """
    encoding = file.layout.encoding
    decoder = codecs.getincrementaldecoder(encoding)()
    bytes_read, line, ends_in_cr = 0, 1, False
    with file.path.open("rb") as stream:
        while True:
            block = stream.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset = bytes_read + len(block) - len(error.object) + error.start
                intact = bytes(error.object[: error.start]).decode(encoding, "replace")
                undecoded = bytes(error.object[error.start : error.end])
                shown = " ".join(f"{byte:02x}" for byte in undecoded[:4])
                found = f"not {encoding}: byte {shown} at offset {offset}"
                line += _line_ends(intact, ends_in_cr)
                return file.error(found, _encoding_remedy(undecoded, encoding), line)
            except UnicodeError as error:
                return file.error(f"not {encoding}: {error}", SAVE_AS_UTF8, line)
            if not block:
                return file.error(f"not {encoding}", SAVE_AS_UTF8)
            bytes_read += len(block)
            line += _line_ends(text, ends_in_cr)
            ends_in_cr = text.endswith("\r")


def _encoding_remedy(undecoded: bytes, encoding: str) -> str:
    """What to do about bytes that do not decode: most often they are of a Windows code page."""
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "ascii")
    if not is_utf8 or not undecoded or undecoded[0] < 0x80:
        return SAVE_AS_UTF8
    try:
        seen = undecoded[:1].decode("cp1252")
    except UnicodeDecodeError:
        return SAVE_AS_UTF8
    windows = f'`encoding = "cp1252"`, in which Excel saves CSV on Windows, reads {seen!r} there'
    return f"{SAVE_AS_UTF8}: {windows}"


def _line_ends(text: str, after_cr: bool) -> int:
    r"""The line ends in a block; a \n that opens it belongs to the \r that ended the last one."""
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    return ends - 1 if after_cr and text.startswith("\n") else ends
