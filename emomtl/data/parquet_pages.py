"""What a Parquet file would unpack to, by the headers of its pages: its footer may say anything, and pyarrow believes it.

Headers are read one after another, and nothing is unpacked but a dictionary whose longest entry has to be known. Footers are
read here too, as pyarrow's own view of a column ends the process where the footer's statistics do not fit its type.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift has the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

DATA, DICTIONARY, DATA_V2 = 0, 2, 3
BY_DICTIONARY = (2, 8)
"""The encodings PLAIN_DICTIONARY and RLE_DICTIONARY: a value is a number that stands for an entry."""

HEADER = 65_536
"""Bytes of a header that are read at a time; one with statistics of very long values takes more."""

LARGEST_HEADER = 16 * 2**20
"""The most that pyarrow reads of one, too."""

DEEPEST = 12
TEXT = 6
"""The physical type BYTE_ARRAY."""

CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
PLAIN = 0
FIXED = 16
"""Bytes of a value that is not text, at most."""


class Broken(ValueError):
    """A footer or a page's header is none."""


@dataclass(frozen=True)
class Column:
    """What the footer says of a column of a row group: its path in the schema, physical type and codec by their numbers, how many
    values its pages have, and where the first of them begins.
    """

    path: tuple[str, ...]
    kind: int
    codec: int
    values: int
    place: int


def row_groups(stream: BinaryIO) -> list[list[Column]]:
    """The columns of each row group, by the footer; Broken where it cannot be read."""
    end = stream.seek(-8, 2)
    length = int.from_bytes(stream.read(4), "little")
    if length > end:
        raise Broken("the footer is longer than the file")
    stream.seek(end - length)
    try:
        footer = _Fields(stream.read(length)).struct(0)
        return [[_column(chunk[3]) for chunk in group[1]] for group in footer[4]]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise Broken("the footer cannot be read") from error


def _column(about: Any) -> Column:
    kind, codec, values, place = (_number(about, field) for field in (1, 4, 5, 9))
    dictionary = about.get(11)
    if isinstance(dictionary, int) and 0 < dictionary < place:
        place = dictionary
    return Column(tuple(part.decode() for part in about[3]), kind, codec, values, place)


@dataclass
class Chunk:
    """One column of one row group: `values` in its pages, the bytes that they can take at most, and the widest value's bytes.

    `widest` is the mean of a page whose values stand there plainly, and of a dictionary the longest entry.
    """

    values: int = 0
    bytes: int = 0
    widest: float = 1.0


def chunk_of(stream: BinaryIO, column: Column, most: int) -> Chunk:
    """What a column chunk holds; a dictionary is unpacked only where its size alone would go beyond `most`, and it would not.

    Broken where a header cannot be read. Pages are followed as pyarrow follows them: up to the values that the footer says.
    """
    found, longest, coded = Chunk(), 0.0, 0
    place = column.place
    while found.values < column.values:
        header, size = _header(stream, place)
        unpacked, packed = _number(header, 2), _number(header, 3)
        kind = header.get(1)
        about = header.get({DATA: 5, DICTIONARY: 7, DATA_V2: 8}.get(kind if isinstance(kind, int) else -1, -1), {})
        if kind == DICTIONARY:
            longest = _longest(stream, column, place + size, packed, unpacked, most)
            found.bytes += unpacked
        elif kind in (DATA, DATA_V2):
            values = _number(about, 1)
            found.values += values
            if about.get(4 if kind == DATA_V2 else 2) in BY_DICTIONARY:
                coded += values
            else:
                found.widest = max(found.widest, unpacked / max(values, 1))
            found.bytes += unpacked
        place += size + packed
    found.bytes += int(coded * longest)
    found.widest = max(found.widest, longest)
    return found


def _longest(stream: BinaryIO, column: Column, place: int, packed: int, unpacked: int, most: int) -> float:
    """The longest entry of a dictionary, in bytes; its whole size where that is harmless, or where it cannot be unpacked."""
    if column.kind != TEXT:
        return min(unpacked, FIXED)
    if unpacked > most or unpacked * column.values <= most:
        return unpacked
    import pyarrow as pa

    stream.seek(place)
    data = stream.read(packed)
    if column.codec != PLAIN:
        try:
            data = pa.Codec(CODECS[column.codec]).decompress(data, unpacked, asbytes=True)
        except (pa.ArrowException, OSError, ValueError, KeyError):
            return unpacked
    longest = at = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        longest, at = max(longest, length), at + 4 + length
    return min(longest, unpacked)


def _number(header: Any, field: int) -> int:
    value = header.get(field) if isinstance(header, dict) else None
    if not isinstance(value, int) or value < 0:
        raise Broken("it lacks a size")
    return value


def _header(stream: BinaryIO, place: int) -> tuple[dict[int, Any], int]:
    """The fields of the header at a place by their numbers, and its bytes."""
    read = HEADER
    while True:
        stream.seek(place)
        data = stream.read(read)
        try:
            fields = _Fields(data)
            return fields.struct(0), fields.at
        except IndexError as error:
            if len(data) < read or read >= LARGEST_HEADER:
                raise Broken("a page's header is cut off") from error
            read *= 16


class _Fields:
    """Thrift's compact protocol, as far as footers and headers of pages need it; IndexError where the bytes end too early."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int) -> dict[int, Any]:
        """The fields of a struct by their numbers."""
        if depth > DEEPEST:
            raise Broken("it is nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while byte := self._byte():
            number = number + (byte >> 4) if byte >> 4 else self._zigzag()
            found[number] = self._value(byte & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in (9, 10):
            return self._list(depth + 1)
        if kind == 12:
            return self.struct(depth + 1)
        raise Broken(f"it has a field of type {kind}")

    def _list(self, depth: int) -> list[Any]:
        byte = self._byte()
        length = byte >> 4 if byte >> 4 < 15 else self._varint()
        if length > len(self.data) - self.at:
            raise IndexError
        if byte & 15 in (1, 2):
            return [self._byte() == 1 for _ in range(length)]
        return [self._value(byte & 15, depth) for _ in range(length)]

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise Broken("it has a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, length: int) -> bytes:
        self.at += length
        if self.at > len(self.data):
            raise IndexError
        return self.data[self.at - length : self.at]
