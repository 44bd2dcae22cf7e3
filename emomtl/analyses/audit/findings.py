"""What an audit finds: kinds with their severity, findings with examples, and tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from emomtl.contracts.analysis import Finding as ResultFinding
from emomtl.contracts.analysis import Severity, Table

SEVERITIES = ("error", "warning", "note")
REMEDY = (
    "`[data] drop_leaks = true` leaves such rows out of training; `--allow {kind}` lets them pass"
)

KINDS: dict[str, tuple[Severity, str]] = {
    "test-in-train": ("error", "texts of a test split also stand in a training split"),
    "validation-in-train": (
        "warning",
        "texts of a validation split also stand in a training split",
    ),
    "test-in-validation": (
        "warning",
        "texts of a test split also stand in a validation split, which chooses the checkpoint",
    ),
    "near-test-in-train": (
        "warning",
        "texts of a test split nearly repeat texts of a training split",
    ),
    "near-validation-in-train": (
        "note",
        "texts of a validation split nearly repeat texts of a training split",
    ),
    "conflicting-labels": ("warning", "one text has different labels in different rows"),
    "label-noise": (
        "warning",
        "rows whose label a cross-validated linear model confidently contradicts",
    ),
    "surface-shortcuts": (
        "warning",
        "emoticons, links, mentions, tags or other marks whose presence alone predicts a label",
    ),
    "untrained-labels": ("warning", "labels that are scored but stand in no training row"),
    "label-spellings": ("warning", "labels that differ only in case, punctuation, spaces or width"),
    "rare-labels": ("warning", "labels with few rows"),
    "imbalance": ("note", "the commonest label is many times as common as the rarest"),
    "duplicates": ("note", "texts that stand several times in a split"),
    "near-duplicates": ("note", "texts of a split that nearly repeat another text of it"),
    "odd-texts": ("note", "empty texts, and texts with broken characters"),
    "telling-words": (
        "note",
        (
            "words whose presence alone predicts a label: meaning, or traces of how rows were"
            " collected"
        ),
    ),
}
"""Every kind of finding: its severity, and what it means. `--allow KIND` lets an error of that kind
pass.
"""


@dataclass(frozen=True)
class Example:
    """Where rows of a finding are, what is in them, and a text unless the task is sensitive."""

    places: tuple[str, ...]
    about: str = ""
    text: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, the task or tasks that it is about, a sentence, a count.

    A finding that rests on little evidence is `weak`, and a note whatever its kind.
    """

    kind: str
    about: str
    text: str
    count: int
    examples: Sequence[Example] = ()
    weak: bool = False

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return "note" if self.weak else KINDS[self.kind][0]

    def as_result(self, allowed: Collection[str]) -> ResultFinding:
        """The finding as an analysis returns it; an error of an allowed kind is a warning."""
        severity: Severity = self.severity
        if severity == "error" and self.kind in allowed:
            severity = "warning"
        rows = tuple(("; ".join(example.places), example.about) for example in self.examples)
        texts = tuple(example.text for example in self.examples if example.text is not None)
        examples = None
        if rows:
            title, meaning = f"{self.kind}: {self.about}", KINDS[self.kind][1]
            shown = texts if len(texts) == len(rows) else ()
            examples = Table(title, ("rows", "what is in them"), rows, (meaning,), shown)
        remedy = REMEDY.format(kind=self.kind)
        return ResultFinding(severity, self.kind, self.about, self.text, remedy, examples)

    def as_json(self) -> dict[str, Any]:
        """The finding for a program: no text of any row, only where rows stand."""
        rows = [{"rows": list(one.places), "said": one.about} for one in self.examples]
        about = {"severity": self.severity, "kind": self.kind, "about": self.about}
        return {**about, "found": self.text, "count": self.count, "examples": rows}


@dataclass
class Report:
    """Tables and findings, as the parts of an audit add them."""

    name: str
    tables: list[Table] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], about: str = ""
    ) -> None:
        """Add a table."""
        cells = tuple(tuple(row) for row in rows)
        self.tables.append(Table(title, tuple(columns), cells, (about,) if about else ()))

    def sorted(self) -> list[Finding]:
        """Findings by severity, then in the order of the kinds, then by count."""
        kinds = list(KINDS)

        def order(finding: Finding) -> tuple[int, int, int, str]:
            severity, kind = SEVERITIES.index(finding.severity), kinds.index(finding.kind)
            return severity, kind, -finding.count, finding.about

        return sorted(self.findings, key=order)

    def as_json(self) -> dict[str, Any]:
        """Everything for a program; a table has one object a row."""
        tables = []
        for table in self.tables:
            rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            if rows:
                tables.append({"title": table.title, "rows": rows})
        findings = [finding.as_json() for finding in self.sorted()]
        return {"run": self.name, "findings": findings, "tables": tables, "notes": self.notes}
