"""The lines of a text file: decoded strictly, counted, and never more than one row in memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from emomtl.data.source_file import LONGEST, SourceFile
from emomtl.errors import EmomtlError

SAVE_AS_UTF8 = "save it as UTF-8, or give the layout's `encoding`"
AS_UTF16 = 'save it as UTF-8, or give `encoding = "utf-16"`; Excel\'s "Unicode text" has tabs, too: `delimiter = "\\t"`'
MAGIC = {
    b"\xff\xfe\x00\x00": ("UTF-32", 'save it as UTF-8, or give `encoding = "utf-32"`'),
    b"\xff\xfe": ("UTF-16", AS_UTF16),
    b"\xfe\xff": ("UTF-16", AS_UTF16),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook of the old kind", "save it as CSV (UTF-8)"),
    b"\x1f\x8b": ("gzip-compressed", "unpack it first"),
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "unpack it, or save it as CSV"),
    b"PAR1": ("Parquet", "let its name end in .parquet"),
}


@dataclass
class Position:
    """How far a file was read: lines so far, and the first line and the characters of the row in work."""

    line: int = 0
    start: int = 1
    size: int = 0

    def next_row(self) -> None:
        """The next row starts on the next line."""
        self.start, self.size = self.line + 1, 0


def lines(file: SourceFile, newline: str, at: Position) -> Iterator[str]:
    r"""Each line with its end; `newline` as in `open` ("" ends lines at \n, \r and \r\n, "\n" only there).

    `at` is kept up to date; a caller whose rows have several lines calls `at.next_row()` before each. Errors: an empty
    file, another encoding, a NUL byte, a row over 32 MB.
    """
    _check_magic(file)
    try:
        with file.path.open(encoding=file.layout.encoding, newline=newline) as stream:
            while text := stream.readline(LONGEST + 1):
                at.line += 1
                at.size += len(text)
                if at.size > LONGEST:
                    raise file.error("this row is longer than 32 MB", "a quote that is opened and never closed?", at.start)
                if "\0" in text:
                    raise file.error("a NUL byte", "is this UTF-16, or no text file at all?", at.line)
                if at.line == 1:
                    text = text.removeprefix("\ufeff")
                yield text
    except UnicodeError as error:
        raise _undecodable(file) from error
    except OSError as error:
        raise file.unreadable(error) from error


def _check_magic(file: SourceFile) -> None:
    try:
        with file.path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise file.unreadable(error) from error
    if not head:
        raise file.error("the file is empty")
    if file.layout.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return
    if head in (head[:1] + b"\0" + head[2:3] + b"\0", b"\0" + head[1:2] + b"\0" + head[3:]) and head.count(0) == 2:
        order = "le" if head[1] == 0 else "be"
        raise file.error("the file is UTF-16 without a mark at its start", f'give `encoding = "utf-16-{order}"`')
    for magic, (what, remedy) in MAGIC.items():
        if head.startswith(magic):
            raise file.error(f"the file is {what}, not {file.layout.encoding} text", remedy)


def _undecodable(file: SourceFile) -> EmomtlError:
    """Finds the first bytes that do not decode; a pass of its own, as a text stream only knows the block."""
    encoding = file.layout.encoding
    decoder = codecs.getincrementaldecoder(encoding)()
    read, before = 0, Position(line=1)
    with file.path.open("rb") as stream:
        while True:
            block = stream.read(2**20)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset = read + len(block) - len(error.object) + error.start
                intact = bytes(error.object[: error.start]).decode(encoding, "replace")
                bad = " ".join(f"{byte:02x}" for byte in error.object[error.start : error.end][:4])
                line = before.line + _ends(intact, before)
                remedy = _encoding_of(bytes(error.object[error.start : error.end]), encoding)
                return file.error(f"not {encoding}: byte {bad} at offset {offset}", remedy, line)
            except UnicodeError as error:
                return file.error(f"not {encoding}: {error}", SAVE_AS_UTF8, before.line)
            if not block:
                return file.error(f"not {encoding}", SAVE_AS_UTF8)
            read += len(block)
            before.line += _ends(text, before)


def _encoding_of(bad: bytes, encoding: str) -> str:
    """What to do about bytes that do not decode: in UTF-8's place they are most often one of Windows' own code pages."""
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig", "ascii") or not bad or bad[0] < 0x80:
        return SAVE_AS_UTF8
    try:
        seen = bad[:1].decode("cp1252")
    except UnicodeDecodeError:
        return SAVE_AS_UTF8
    return f'{SAVE_AS_UTF8}: `encoding = "cp1252"`, in which Excel saves CSV on Windows, reads {seen!r} there'


def _ends(text: str, before: Position) -> int:
    r"""The line ends in a block of text; `before.size` remembers a \r whose \n may open the next block."""
    split_pair = before.size and text.startswith("\n")
    before.size = int(text.endswith("\r"))
    return text.count("\n") + text.count("\r") - text.count("\r\n") - int(bool(split_pair))
