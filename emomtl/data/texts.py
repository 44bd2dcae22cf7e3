"""Texts of a split, held without a Python object for each: in one buffer as they were read, or nowhere until somebody asks."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload


class TextColumn(Sequence[str]):
    """Texts behind one another in a buffer of UTF-8, each decoded when it is asked for: n texts cost their bytes and 8 n more.

    A Python string costs 50 bytes and more beside its characters, and its place in a list 8.
    """

    __hash__ = None  # type: ignore[assignment]  # it grows, so it is no key; mypy wants a method here

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """One more text."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def only(self, chosen: Iterable[int]) -> TextColumn:
        """The texts at these positions."""
        found = TextColumn()
        for place in chosen:
            found._bytes += self._bytes[self._ends[place] : self._ends[place + 1]]
            found._ends.append(len(found._bytes))
        return found

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        places = range(len(self))[place]
        return [self._at(one) for one in places] if isinstance(places, range) else self._at(places)

    def __iter__(self) -> Iterator[str]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TextColumn):
            return self._ends == other._ends and self._bytes == other._bytes
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    def _at(self, place: int) -> str:
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogatepass")


class LaterTexts(Sequence[str]):
    """The texts of a split whose rows were kept between runs: their number and digest are known, and they are read when asked.

    `read` gives the texts; it raises where the source has changed.
    """

    def __init__(self, number: int, digest: str, read: Callable[[], Sequence[str]]) -> None:
        self.digest = digest
        self._number, self._read = number, read

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        return self._texts[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    @cached_property
    def _texts(self) -> Sequence[str]:
        return self._read()
