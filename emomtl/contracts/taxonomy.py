"""Label taxonomies as data: names in order, with optional definitions, VAD coordinates and coarser groupings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from emomtl.contracts.label_text import clean_label
from emomtl.errors import EmomtlError, UnknownLabel, quoted, suggest


@dataclass(frozen=True)
class Label:
    """One label: its name, a definition in one sentence, and (valence, arousal, dominance), each in 0..1."""

    name: str
    definition: str = ""
    vad: tuple[float, float, float] | None = None


class Taxonomy:
    """The labels that a task can have, in the order of the head's outputs; a label is a name, never a number.

    `Taxonomy(["anger", "joy"])` is enough; `Label` objects carry more, and `groupings` fold the labels into coarser ones.
    """

    def __init__(self, labels: Iterable[str | Label], groupings: Iterable[Grouping] = ()) -> None:
        self.labels = tuple(Label(label) if isinstance(label, str) else label for label in labels)
        self.names = tuple(label.name for label in self.labels)
        self.groupings = tuple(groupings)
        doubles = sorted(name for name, times in Counter(self.names).items() if times > 1) if self._has_doubles else []
        if doubles:
            raise EmomtlError(f"label '{doubles[0]}' stands twice in the taxonomy", remedy="give each label once")
        if len({clean_label(name) for name in self.names if isinstance(name, str)}) < len(self.names):
            found = "two labels of the taxonomy differ only in characters that cannot be seen"
            raise EmomtlError(found, remedy="give each label once, in NFC, without zero-width characters")
        if not self.names or not all(isinstance(name, str) and name.strip() for name in self.names):
            raise EmomtlError("a taxonomy needs labels, each with a name that is not empty")
        for name in self.names:
            if not name.isascii() and name.encode(errors="ignore").decode() != name:
                raise EmomtlError(
                    f"label {quoted(name)} is not text that UTF-8 can hold", remedy="write it without lone surrogates"
                )
        for grouping in self.groupings:
            grouping.check(self.names)

    @property
    def _has_doubles(self) -> bool:
        return len(set(self.names)) != len(self.names)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def _clean_positions(self) -> dict[str, int]:
        return {clean_label(name): position for position, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """The position of a label, whatever invisible characters stand around it and however it is composed.

        An unknown name is an error that suggests the nearest.
        """
        try:
            return self._positions[name]
        except (KeyError, TypeError):
            position = self._clean_positions.get(clean_label(name)) if isinstance(name, str) else None
            if position is not None:
                return position
            raise UnknownLabel(f"unknown label {quoted(name)}", remedy=suggest(str(name), self.names)) from None

    def grouping(self, name: str) -> Grouping:
        """The grouping of that name, such as `ekman`."""
        for grouping in self.groupings:
            if grouping.name == name:
                return grouping
        raise EmomtlError(f"unknown grouping '{name}'", remedy=suggest(name, [g.name for g in self.groupings]))

    def __getitem__(self, position: int) -> str:
        """The name of the label at a position, for corpora that store numbers."""
        if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(self.names):
            raise EmomtlError(f"label number {position!r} is outside 0..{len(self.names) - 1}")
        return self.names[position]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taxonomy) and self.labels == other.labels and self.groupings == other.groupings

    def __hash__(self) -> int:
        return hash(self.labels)

    def __repr__(self) -> str:
        return f"Taxonomy({len(self)} labels: {', '.join(self.names[:4])}{', …' if len(self) > 4 else ''})"


@dataclass(frozen=True)
class Grouping:
    """A coarser taxonomy over a finer one: each coarse name with its members; each fine label has exactly one parent."""

    name: str
    groups: Mapping[str, tuple[str, ...]]

    @cached_property
    def parents(self) -> dict[str, str]:
        """Fine name -> coarse name."""
        return {member: parent for parent, members in self.groups.items() for member in members}

    @property
    def names(self) -> tuple[str, ...]:
        """The coarse names, in order."""
        return tuple(self.groups)

    def fold(self, labels: Collection[str]) -> tuple[str, ...]:
        """The coarse labels of a set of fine ones (OR over members), in the grouping's order."""
        present = {self.parents[label] for label in labels}
        return tuple(name for name in self.groups if name in present)

    def check(self, fine: Collection[str]) -> None:
        """Refuse a grouping that leaves a label without a parent, gives it two, or names one that does not exist."""
        members = [member for group in self.groups.values() for member in group]
        for member in members:
            if member not in fine:
                raise EmomtlError(f"grouping '{self.name}' names '{member}', which is no label", remedy=suggest(member, fine))
            if members.count(member) > 1:
                raise EmomtlError(f"grouping '{self.name}' gives '{member}' two parents", remedy="each label has one")
        orphans = [name for name in fine if name not in self.parents]
        if orphans:
            raise EmomtlError(f"grouping '{self.name}' gives '{orphans[0]}' no parent", remedy="each label has one")

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.groups)))
