"""What others have claimed, held against the results of studies and analyses, with one of five verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest.models import Table as Keys
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.verdicts import VERDICTS, Claimed, Judgement, Verdict, weigh
from emomtl.safety.files import read_json
from emomtl.study.reading import read_strict

RESULT = "result.json"
"""The file of a study's folder that its comparisons are read from."""

DECIDING: dict[str, tuple[Verdict, ...]] = {
    "all": ("contradicted", "untested", "inconclusive", "equivalent", "supported"),
    "any": ("supported", "untested", "inconclusive", "equivalent", "contradicted"),
}
"""By what a claim needs: its verdict is the first of these that a piece of its evidence has.

One contradicted piece decides a claim that needs all, one supported piece a claim that needs any,
whatever is still to come. What is pending leaves every other claim untested.
"""

LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""


class Evidence(Keys):
    """One difference that a claim speaks of: of a study's row from the row that it is compared with, or of an analysis."""

    study: str | None = Field(default=None, description="the name of a study; its folders are among those given")
    row: str | None = Field(default=None, description="the row of the study")
    analysis: str | None = Field(default=None, description="a JSON file of an analysis, by its name among the folders given")
    at: tuple[str, ...] = Field(default=(), description="the way to an object with `value`, `low` and `high` in it")
    says: str | None = Field(default=None, description="what the difference is, in words; left out, its row or way")
    expects: Claimed = Field(default="more", description="what the claim says of the difference")
    least: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="how large it must be at least; with `same`, an older word for `margin`"
    )
    margin: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="a difference within plus and minus this counts as none; left out, the file's; `same` needs its own",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Evidence:
        if (self.study is None) == (self.analysis is None):
            raise ValueError("study or analysis: give one of the two")
        if (self.row is None) != (self.study is None) or bool(self.at) != bool(self.analysis):
            raise ValueError("a study goes with `row`, an analysis with `at`")
        if self.expects == "same" and self.margin is not None and self.least:
            raise ValueError('expects = "same" takes `margin` or the older word `least`: give one of the two')
        if self.expects == "same" and not (self.margin or self.least):
            raise ValueError('expects = "same" needs `margin`: the largest difference that counts as none')
        return self

    @property
    def name(self) -> str:
        """What the difference is, in words."""
        return self.says or (f"{self.study}: {self.row}" if self.study else f"{self.analysis}: {', '.join(self.at)}")


class Claim(Keys):
    """A sentence that somebody wrote, and the differences that it stands on."""

    says: str = Field(description="the claim, in a sentence")
    where: str = Field(default="", description="who says it, and where")
    needs: Literal["all", "any"] = Field(default="all", description="whether all of its evidence must be as it says, or some")
    note: str = Field(default="", description="what a reader must know beside the numbers")
    evidence: tuple[Evidence, ...] = Field(default=(), description="differences; without any the claim is untested")


class Claims(Keys):
    """A file of claims."""

    title: str = Field(description="whose claims these are")
    margin: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="a difference within plus and minus this counts as none: `equivalent`"
    )
    claims: tuple[Claim, ...] = Field(min_length=1, description="the claims, in the order of the page")

    @model_validator(mode="after")
    def _margins_below_what_is_claimed(self) -> Claims:
        for one in (evidence for claim in self.claims for evidence in claim.evidence):
            margin = self.margin_of(one)
            if one.expects != "same" and 0 < one.least <= margin:
                found = f"'{one.name}' claims at least {one.least:g}, and differences within {margin:g} count as none"
                raise ValueError(f"margin: {found}; give a smaller `margin`")
        return self

    def margin_of(self, evidence: Evidence) -> float:
        """The difference that counts as none: the evidence's own, else the file's."""
        if evidence.expects == "same":
            return evidence.margin or evidence.least
        return self.margin if evidence.margin is None else evidence.margin


@dataclass(frozen=True)
class Measured:
    """A difference as a study or an analysis found it; `missing` says why nothing can be concluded from it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    clear: bool = True
    missing: str = ""


@dataclass(frozen=True)
class Held:
    """One piece of evidence with the difference that was found, and what it says of the claim."""

    evidence: Evidence
    margin: float
    measured: Measured
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """What the difference says of the claim."""
        return self.judgement.verdict

    @property
    def reason(self) -> str:
        """Why it says that."""
        return self.judgement.reason

    @property
    def value(self) -> float | None:
        """The difference."""
        return self.measured.value


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict."""

    claim: Claim
    held: tuple[Held, ...]
    verdict: Verdict


def read_claims(path: Path) -> Claims:
    """The claims of a TOML file; EmomtlError with everything that is wrong in it."""
    return read_strict(path, Claims)


def judge(claims: Claims, folders: Sequence[Path]) -> list[Judged]:
    """Every claim against what lies in some folders: those of studies, and those that analyses wrote into.

    Each piece of evidence is weighed by the 95% interval of its difference (`metrics.verdicts.weigh`); of a study, whether it
    is other than zero at all by the p that is corrected over its table. A row that is pending or not whole, one that was scored
    on other test rows, one seed, and what is undefined or was not measured are untested. A claim's verdict follows from those
    of its evidence (`DECIDING`). EmomtlError where a file is damaged, or two folders hold results of one study.
    """
    found = _results(folders)
    judged = []
    for claim in claims.claims:
        held = []
        for evidence in claim.evidence:
            measured, margin = _measured(evidence, found, folders), claims.margin_of(evidence)
            held.append(Held(evidence, margin, measured, _weighed(evidence, measured, margin)))
        verdicts = {one.verdict for one in held}
        verdict: Verdict = next((one for one in DECIDING[claim.needs] if one in verdicts), "untested")
        judged.append(Judged(claim, tuple(held), verdict))
    return judged


def _weighed(evidence: Evidence, measured: Measured, margin: float) -> Judgement:
    if measured.missing or measured.low is None or measured.high is None:
        return Judgement("untested", measured.missing)
    expects, least = evidence.expects, evidence.least
    return weigh(measured.low, measured.high, expects=expects, least=least, margin=margin, clear=measured.clear)


def _results(folders: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """The results of studies by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise EmomtlError(Problem(clean(str(folder), 300), "no such folder", "name folders of studies and analyses"))
        if not (folder / RESULT).is_file():
            continue
        result = read_json(folder / RESULT)
        name = str(result.get("study"))
        if name in found:
            remedy = "give the folder of one scale"
            raise EmomtlError(Problem(clean(str(folder), 300), f"a second result of the study '{clean(name)}'", remedy))
        found[name] = result
    return found


def _measured(evidence: Evidence, results: Mapping[str, Mapping[str, Any]], folders: Sequence[Path]) -> Measured:
    if evidence.study is not None:
        return _of_study(evidence, results.get(evidence.study))
    if Path(str(evidence.analysis)).name != evidence.analysis or len(str(evidence.analysis).encode()) > LONGEST_NAME:
        found = f"'{clean(str(evidence.analysis))}' is no name of a file"
        raise EmomtlError(Problem("claims", found, "name a JSON file that lies in one of the folders"))
    files = [folder / str(evidence.analysis) for folder in folders if (folder / str(evidence.analysis)).is_file()]
    node: Any = read_json(files[0]) if files else None
    for step in evidence.at if files else ():
        node = _next(node, step)
    if isinstance(node, Mapping) and any(key in node and node[key] is None for key in ("value", "low", "high")):
        return Measured(missing="undefined")
    if not isinstance(node, Mapping) or not all(type(node.get(key)) in (int, float) for key in ("value", "low", "high")):
        return Measured(missing="not measured")
    value, low, high = (float(node[key]) for key in ("value", "low", "high"))
    if not all(map(math.isfinite, (value, low, high))):
        return Measured(missing="undefined")
    has_one_seed = type(node.get("seeds", 1)) is int and node.get("seeds", 1) < 2
    return Measured(value, low, high, missing="one seed" if has_one_seed else "")


def _next(node: Any, step: str) -> Any:
    """One step into JSON: a key of an object, or the element of a list that is called so; None where there is none."""
    if isinstance(node, Mapping):
        return node.get(step)
    if not isinstance(node, list):
        return None
    named = [one for one in node if isinstance(one, Mapping) and step in (one.get("run"), one.get("row"), one.get("name"))]
    return named[0] if named else None


def _of_study(evidence: Evidence, result: Mapping[str, Any] | None) -> Measured:
    if result is None:
        return Measured(missing="not run")
    try:
        return _of_rows(evidence, str(evidence.row), {str(row["row"]): row for row in result["rows"]}, result)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found = f"the result of the study '{clean(str(evidence.study))}' is not what emomtl writes"
        raise EmomtlError(Problem("claims", found, "run the study again: what is done is kept")) from error


def _of_rows(evidence: Evidence, name: str, rows: Mapping[str, Mapping[str, Any]], result: Mapping[str, Any]) -> Measured:
    if name not in rows:
        raise EmomtlError(Problem("claims", f"the study '{clean(str(evidence.study))}' has no row '{clean(name)}'"))
    comparison = rows[name]["comparison"]
    if comparison is None:
        other = rows[name].get("not_compared")
        state = str(rows[name]["state"])
        return Measured(missing="scored on other test rows" if other else "not compared" if state == "whole" else state)
    difference = comparison["difference"]
    ends = [difference[key] for key in ("value", "low", "high")]
    if any(end is None or not math.isfinite(end) for end in ends):
        return Measured(missing="undefined")
    sign = -1 if rows[name].get("less_is_better") else 1
    value, low, high = (sign * float(end) for end in ends)
    low, high = min(low, high), max(low, high)
    p = comparison["p_holm"]
    clear = p is not None and float(p) < 1 - LEVEL
    return Measured(value, low, high, clear, _not_there(rows[name], rows, comparison["seeds"], result))


def _not_there(row: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], seeds: int, result: Mapping[str, Any]) -> str:
    """Why a comparison is no evidence yet: a row of it is not whole, or one seed alone was run."""
    other = rows.get(str(row.get("against") or result.get("reference")), {})
    for one in (row, other):
        if one.get("state", "whole") != "whole":
            return str(one["state"])
    return "one seed" if seeds < 2 else ""


def claims_tables(title: str, judged: Sequence[Judged]) -> list[Table]:
    """The verdicts in one table, and the numbers behind each in another."""
    verdicts = [(number, one.claim.says, one.claim.where, one.verdict) for number, one in enumerate(judged, 1)]
    notes = [f"{number}: {one.claim.note}" for number, one in enumerate(judged, 1) if one.claim.note]
    columns = ("claim", "difference", "claimed", "counts as none", "found", "95% interval", "says")
    return [
        Table(title, ("claim", "what is said", "where", "verdict"), tuple(verdicts), tuple(notes)),
        Table("The numbers", columns, tuple(_numbers(judged)), ABOUT),
    ]


def claims_summary(judged: Sequence[Judged]) -> str:
    """How many claims have which verdict, in a sentence."""
    counts = {verdict: sum(one.verdict == verdict for one in judged) for verdict in VERDICTS}
    return f"{len(judged)} claims: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}."


ABOUT = (
    "supported: the 95% interval lies wholly where the claim says, and its p, corrected over the study's table, is below 0.05; "
    "contradicted: wholly on the other side of zero, or wholly below what is claimed",
    "equivalent: the interval lies within the difference that counts as none; inconclusive: neither the claim nor its contrary "
    "is shown; untested: pending, not measured, or one seed, which is not 'false'",
    "below 0 a difference is for the worse, of errors too",
)


def _numbers(judged: Sequence[Judged]) -> Iterator[tuple[Cell, ...]]:
    for number, one in enumerate(judged, 1):
        for held in one.held:
            evidence, measured = held.evidence, held.measured
            claimed = {"more": "more", "less": "less", "same": "the same"}[evidence.expects]
            if evidence.least and evidence.expects != "same":
                claimed += f", by {evidence.least:g}"
            margin = f"within {held.margin:g}" if held.margin else ""
            value = "" if measured.value is None else f"{measured.value:+.4f}"
            has_interval = measured.low is not None and measured.high is not None
            interval = f"{measured.low:+.4f} to {measured.high:+.4f}" if has_interval else ""
            yield (number, evidence.name, claimed, margin, value, interval, str(held.judgement))
