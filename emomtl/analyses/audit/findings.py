"""What an audit finds: kinds with their severity, findings with examples, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("error", "warning", "note")

KINDS = {
    "test-in-train": ("error", "texts of a test split also stand in a training split"),
    "validation-in-train": ("warning", "texts of a validation split also stand in a training split"),
    "test-in-validation": ("warning", "texts of a test split also stand in a validation split, which chooses the checkpoint"),
    "near-test-in-train": ("warning", "texts of a test split nearly repeat texts of a training split"),
    "near-validation-in-train": ("note", "texts of a validation split nearly repeat texts of a training split"),
    "conflicting-labels": ("warning", "one text has different labels in different rows"),
    "label-noise": ("warning", "rows whose label a cross-validated linear model confidently contradicts"),
    "surface-shortcuts": ("warning", "emoticons, links, mentions, tags or other marks whose presence alone predicts a label"),
    "untrained-labels": ("warning", "labels that are scored but stand in no training row"),
    "label-spellings": ("warning", "labels that differ only in case, punctuation, spaces or width"),
    "rare-labels": ("warning", "labels with few rows"),
    "imbalance": ("note", "the commonest label is many times as common as the rarest"),
    "duplicates": ("note", "texts that stand several times in a split"),
    "near-duplicates": ("note", "texts of a split that nearly repeat another text of it"),
    "odd-texts": ("note", "empty texts, and texts with broken characters"),
    "telling-words": (
        "note",
        "words whose presence alone predicts a label: meaning, or traces of how rows were collected",
    ),
}
"""Every kind of finding: its severity, and what it means. `--allow KIND` lets an error of that kind pass."""


@dataclass(frozen=True)
class Shown:
    """One example of a finding: where its rows stand, what is said of them, and a text unless the task is sensitive."""

    places: tuple[str, ...]
    said: str = ""
    text: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, the task or tasks that it is about, a sentence, a count, and some examples."""

    kind: str
    about: str
    said: str
    count: int
    examples: Sequence[Shown] = ()
    weak: bool = False

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`; it goes with the kind, but what rests on little (`weak`) is a note."""
        return "note" if self.weak else KINDS[self.kind][0]

    def as_json(self) -> dict[str, Any]:
        """The finding for a program: no text of any row, only where rows stand."""
        rows = [{"rows": list(example.places), "said": example.said} for example in self.examples]
        facts = {"severity": self.severity, "kind": self.kind, "about": self.about, "found": self.said, "count": self.count}
        return {**facts, "examples": rows}


@dataclass(frozen=True)
class Table:
    """A table of an audit; `brief` ones are printed in a terminal too."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    about: str = ""
    brief: bool = True

    def as_json(self) -> dict[str, Any]:
        """The table as one object a row."""
        return {"title": self.title, "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows]}


@dataclass
class Report:
    """Tables and findings, as the parts of an audit add them; the worst findings come first."""

    name: str
    tables: list[Table] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sorted(self) -> list[Finding]:
        """Findings by severity, then in the order of the kinds, then by count."""
        order = list(KINDS)
        return sorted(
            self.findings, key=lambda one: (SEVERITIES.index(one.severity), order.index(one.kind), -one.count, one.about)
        )

    def as_json(self) -> dict[str, Any]:
        """Everything for a program."""
        return {
            "run": self.name,
            "findings": [one.as_json() for one in self.sorted()],
            "tables": [table.as_json() for table in self.tables if table.rows],
            "notes": self.notes,
        }
