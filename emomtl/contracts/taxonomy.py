"""Label taxonomies as data: names in order, definitions, VAD coordinates and coarser groupings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from emomtl.contracts.label_text import clean_label
from emomtl.errors import EmomtlError, UnknownLabel, quoted, suggest


@dataclass(frozen=True)
class Label:
    """One label: its name, a definition in one sentence, and its coordinates.

    `vad` is (valence, arousal, dominance), each in 0..1.
    """

    name: str
    definition: str = ""
    vad: tuple[float, float, float] | None = None


class Taxonomy:
    """The labels that a task can have, in the order of the head's outputs.

    A label is a name, never a number. `Taxonomy(["anger", "joy"])` is enough; `Label` objects carry
    more, and `groupings` fold the labels into coarser ones.
    """

    def __init__(self, labels: Iterable[str | Label], groupings: Iterable[Grouping] = ()) -> None:
        self.labels = tuple(Label(label) if isinstance(label, str) else label for label in labels)
        self.names = tuple(label.name for label in self.labels)
        self.groupings = tuple(groupings)
        _check_names(self.names)
        for grouping in self.groupings:
            grouping.check(self.names)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def _clean_positions(self) -> dict[str, int]:
        return {clean_label(name): position for position, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """The position of a label; an unknown name is an error that suggests the nearest.

        Invisible characters around the name, and how its letters are composed, do not matter.
        """
        try:
            return self._positions[name]
        except (KeyError, TypeError):
            if isinstance(name, str) and clean_label(name) in self._clean_positions:
                return self._clean_positions[clean_label(name)]
            remedy = suggest(str(name), self.names)
            raise UnknownLabel(f"unknown label {quoted(name)}", remedy=remedy) from None

    def grouping(self, name: str) -> Grouping:
        """The grouping of that name, such as `ekman`."""
        for grouping in self.groupings:
            if grouping.name == name:
                return grouping
        known = [grouping.name for grouping in self.groupings]
        raise EmomtlError(f"unknown grouping '{name}'", remedy=suggest(name, known))

    def __getitem__(self, position: int) -> str:
        """The name of the label at a position, for corpora that store numbers."""
        is_integer = isinstance(position, int) and not isinstance(position, bool)
        if not is_integer or not 0 <= position < len(self.names):
            raise EmomtlError(f"label number {position!r} is outside 0..{len(self.names) - 1}")
        return self.names[position]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._positions

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Taxonomy):
            return False
        return self.labels == other.labels and self.groupings == other.groupings

    def __hash__(self) -> int:
        return hash(self.labels)

    def __repr__(self) -> str:
        more = ", …" if len(self) > 4 else ""
        return f"Taxonomy({len(self)} labels: {', '.join(self.names[:4])}{more})"


def _check_names(names: tuple[str, ...]) -> None:
    """Refuse labels that are no names, or that nobody could tell apart."""
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        problem = f"label '{repeated[0]}' stands twice in the taxonomy"
        raise EmomtlError(problem, remedy="give each label once")
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise EmomtlError("a taxonomy needs labels, each with a name that is not empty")
    if len({clean_label(name) for name in names}) < len(names):
        problem = "two labels of the taxonomy differ only in characters that cannot be seen"
        remedy = "give each label once, in NFC, without zero-width characters"
        raise EmomtlError(problem, remedy=remedy)
    for name in names:
        if name.encode(errors="ignore").decode() != name:
            problem = f"label {quoted(name)} is not text that UTF-8 can hold"
            raise EmomtlError(problem, remedy="write it without lone surrogates")


@dataclass(frozen=True)
class Grouping:
    """A coarser taxonomy over a finer one: each coarse name with its members.

    Each fine label has exactly one parent.
    """

    name: str
    groups: Mapping[str, tuple[str, ...]]

    @cached_property
    def parents(self) -> dict[str, str]:
        """The coarse name of each fine name."""
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
        """Refuse a grouping with unknown members, or in which a label has no parent or two."""
        members = Counter(member for group in self.groups.values() for member in group)
        for member, times in members.items():
            if member not in fine:
                problem = f"grouping '{self.name}' names '{member}', which is no label"
                raise EmomtlError(problem, remedy=suggest(member, fine))
            if times > 1:
                problem = f"grouping '{self.name}' gives '{member}' two parents"
                raise EmomtlError(problem, remedy="each label has one")
        for name in fine:
            if name not in members:
                problem = f"grouping '{self.name}' gives '{name}' no parent"
                raise EmomtlError(problem, remedy="each label has one")

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.groups)))
