"""Texts of a split without a Python object for each: in one buffer, or read when asked for."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload


class TextColumn(Sequence[str]):
    """Texts behind one another in a buffer of UTF-8, each decoded when it is asked for.

    n texts cost their bytes and 8 n more. A Python string costs 50 bytes and more beside its
    characters, and its place in a list 8.
    """

    __hash__ = None  # type: ignore[assignment]  # it grows, so it is no key; mypy wants a method here

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add a text."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def only(self, chosen: Iterable[int]) -> TextColumn:
        """The texts at these positions."""
        column = TextColumn()
        for i in chosen:
            column._bytes += self._bytes[self._ends[i] : self._ends[i + 1]]
            column._ends.append(len(column._bytes))
        return column

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        places = range(len(self))[place]  # which also resolves negative positions
        if isinstance(places, range):
            return [self._at(i) for i in places]
        return self._at(places)

    def __iter__(self) -> Iterator[str]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TextColumn):
            return self._ends == other._ends and self._bytes == other._bytes
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(map(str.__eq__, self, other))

    def _at(self, i: int) -> str:
        return self._bytes[self._ends[i] : self._ends[i + 1]].decode("utf-8", "surrogatepass")


class LazyTexts(Sequence[str]):
    """The texts of a split whose rows came from the cache, read when the first one is asked for.

    Their number and digest are known. `read` gives the texts, and raises where the source has
    changed.
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
