"""Claims of others, held against the results of studies and analyses, with one of five verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from emomtl.contracts.analysis import Cell, Table
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.metrics.bootstrap import LEVEL
from emomtl.metrics.verdicts import VERDICTS, Claimed, Judgement, Verdict, weigh
from emomtl.safety.files import read_json
from emomtl.study.models import Documented, Margin
from emomtl.study.reading import read_strict
from emomtl.study.table import interval, number

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

NUMBERS = ("value", "low", "high")
"""The keys of a difference and its interval."""

LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""


class Evidence(Documented):
    """One difference that a claim speaks of: of a study's row from its reference, or of an
    analysis.
    """

    study: str | None = None
    """the name of a study; its folders are among those given"""
    row: str | None = None
    """the row of the study"""
    analysis: str | None = None
    """a JSON file of an analysis, by its name among the folders given"""
    at: tuple[str, ...] = ()
    """the way to an object with `value`, `low` and `high` in it"""
    says: str | None = None
    """what the difference is, in words; left out, its row or way"""
    expects: Claimed = "more"
    """what the claim says of the difference"""
    least: Margin = 0.0
    """how large it must be at least; with `same`, an older word for `margin`"""
    margin: Margin | None = None
    """a difference within this counts as none; left out, the file's; for `same` needed"""

    @model_validator(mode="after")
    def _one_kind(self) -> Evidence:
        if (self.study is None) == (self.analysis is None):
            raise ValueError("study or analysis: give one of the two")
        if (self.row is None) != (self.study is None) or bool(self.at) != bool(self.analysis):
            raise ValueError("a study goes with `row`, an analysis with `at`")
        if self.expects == "same" and self.margin is not None and self.least:
            found = "takes `margin` or the older word `least`: give one of the two"
            raise ValueError(f'expects = "same" {found}')
        if self.expects == "same" and not (self.margin or self.least):
            needs = "needs `margin`: the largest difference that counts as none"
            raise ValueError(f'expects = "same" {needs}')
        return self

    @property
    def name(self) -> str:
        """What the difference is, in words."""
        if self.says:
            return self.says
        return (
            f"{self.study}: {self.row}" if self.study else f"{self.analysis}: {', '.join(self.at)}"
        )


class Claim(Documented):
    """A sentence that somebody wrote, and the differences that it stands on."""

    says: str
    """the claim, in a sentence"""
    where: str = ""
    """who says it, and where"""
    needs: Literal["all", "any"] = "all"
    """whether all of its evidence must be as it says, or some"""
    note: str = ""
    """what a reader must know beside the numbers"""
    evidence: tuple[Evidence, ...] = ()
    """differences; without any the claim is untested"""


class Claims(Documented):
    """A file of claims."""

    title: str
    """whose claims these are"""
    margin: Margin = 0.0
    """a difference within plus and minus this counts as none: `equivalent`"""
    claims: tuple[Claim, ...] = Field(min_length=1)
    """the claims, in the order of the page"""

    @model_validator(mode="after")
    def _margins_below_what_is_claimed(self) -> Claims:
        for claim in self.claims:
            for evidence in claim.evidence:
                least, margin = evidence.least, self.margin_of(evidence)
                if evidence.expects != "same" and 0 < least <= margin:
                    claimed = f"'{evidence.name}' claims at least {least:g}"
                    found = f"{claimed}, and differences within {margin:g} count as none"
                    raise ValueError(f"margin: {found}; give a smaller `margin`")
        return self

    def margin_of(self, evidence: Evidence) -> float:
        """The difference that counts as none: the evidence's own, else the file's."""
        if evidence.expects == "same":
            return evidence.margin or evidence.least
        if evidence.margin is None:
            return self.margin
        return evidence.margin


@dataclass(frozen=True)
class Measured:
    """A difference as it was measured; `missing` says why nothing can be concluded from it."""

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
    """Every claim against what lies in some folders: those of studies and of analyses.

    Each piece of evidence is weighed by the 95% interval of its difference
    (`metrics.verdicts.weigh`); for a study its corrected p says whether the difference is other
    than zero at all. A row that is pending or not whole, one that was scored on other test rows,
    one seed, and what is undefined or was not measured are untested. A claim's verdict follows from
    those of its evidence (`DECIDING`). EmomtlError where a file is damaged, or two folders hold
    results of one study.
    """
    results = _results(folders)
    judged = []
    for claim in claims.claims:
        held = []
        for evidence in claim.evidence:
            measured = _measured(evidence, results, folders)
            margin = claims.margin_of(evidence)
            held.append(Held(evidence, margin, measured, _weighed(evidence, measured, margin)))
        judged.append(Judged(claim, tuple(held), _verdict(claim, held)))
    return judged


def _verdict(claim: Claim, held: Sequence[Held]) -> Verdict:
    verdicts = {piece.judgement.verdict for piece in held}
    for verdict in DECIDING[claim.needs]:
        if verdict in verdicts:
            return verdict
    return "untested"


def _weighed(evidence: Evidence, measured: Measured, margin: float) -> Judgement:
    low, high = measured.low, measured.high
    if measured.missing or low is None or high is None:
        return Judgement("untested", measured.missing)
    return weigh(
        low,
        high,
        expects=evidence.expects,
        least=evidence.least,
        margin=margin,
        clear=measured.clear,
    )


def _results(folders: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """The results of studies by name."""
    results: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        place = clean(str(folder), 300)
        if not folder.is_dir():
            remedy = "name folders of studies and analyses"
            raise EmomtlError(Problem(place, "no such folder", remedy))
        if (folder / RESULT).is_file():
            result = read_json(folder / RESULT)
            name = str(result.get("study"))
            if name in results:
                found = f"a second result of the study '{clean(name)}'"
                raise EmomtlError(Problem(place, found, "give the folder of one scale"))
            results[name] = result
    return results


def _measured(
    evidence: Evidence, results: Mapping[str, Mapping[str, Any]], folders: Sequence[Path]
) -> Measured:
    if evidence.study is not None:
        return _of_study(evidence, results.get(evidence.study))
    name = str(evidence.analysis)
    if Path(name).name != name or len(name.encode()) > LONGEST_NAME:
        remedy = "name a JSON file that lies in one of the folders"
        raise EmomtlError(Problem("claims", f"'{clean(name)}' is no name of a file", remedy))
    node: Any = None
    for folder in folders:
        if (folder / name).is_file():
            node = read_json(folder / name)
            break
    for step in evidence.at:
        node = _next(node, step)
    numbers = [node.get(key, "") for key in NUMBERS] if isinstance(node, Mapping) else [""]
    if None in numbers:
        return Measured(missing="undefined")
    if not all(type(number) in (int, float) for number in numbers):
        return Measured(missing="not measured")
    value, low, high = map(float, numbers)
    if not all(map(math.isfinite, (value, low, high))):
        return Measured(missing="undefined")
    seeds = node.get("seeds", 1)
    if type(seeds) is int and seeds < 2:
        return Measured(value, low, high, missing="one seed")
    return Measured(value, low, high)


def _next(node: Any, step: str) -> Any:
    """One step into JSON: a key of an object, or a list's element of that name; else None."""
    if isinstance(node, Mapping):
        return node.get(step)
    for element in node if isinstance(node, list) else ():
        if isinstance(element, Mapping) and step in map(element.get, ("run", "row", "name")):
            return element
    return None


def _of_study(evidence: Evidence, result: Mapping[str, Any] | None) -> Measured:
    if result is None:
        return Measured(missing="not run")
    try:
        return _of_rows(
            evidence, str(evidence.row), {str(row["row"]): row for row in result["rows"]}, result
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found = f"the result of the study '{clean(str(evidence.study))}' is not what emomtl writes"
        raise EmomtlError(
            Problem("claims", found, "run the study again: what is done is kept")
        ) from error


def _of_rows(
    evidence: Evidence, name: str, rows: Mapping[str, Mapping[str, Any]], result: Mapping[str, Any]
) -> Measured:
    if name not in rows:
        found = f"the study '{clean(str(evidence.study))}' has no row '{clean(name)}'"
        raise EmomtlError(Problem("claims", found))
    row = rows[name]
    comparison, state = row["comparison"], str(row["state"])
    if comparison is None:
        if row.get("not_compared"):
            return Measured(missing="scored on other test rows")
        return Measured(missing=state.replace("whole", "not compared"))
    value, low, high = map(comparison["difference"].__getitem__, NUMBERS)
    if None in (value, low, high) or not all(map(math.isfinite, (value, low, high))):
        return Measured(missing="undefined")
    value, low, high = float(value), float(low), float(high)
    # claims speak of better and worse, and of an error less is better
    if row.get("less_is_better"):
        value, low, high = -value, -high, -low
    p = comparison["p_holm"]
    clear = p is not None and float(p) < 1 - LEVEL
    reference = rows.get(str(row.get("against") or result.get("reference")), {})
    missing = ""
    if comparison["seeds"] < 2:
        missing = "one seed"
    for compared in (reference, row):
        if compared.get("state", "whole") != "whole":
            missing = str(compared["state"])
    return Measured(value, low, high, clear, missing)


def claims_tables(title: str, judged: Sequence[Judged]) -> list[Table]:
    """The verdicts in one table, and the numbers behind each in another."""
    verdicts: list[tuple[Cell, ...]] = []
    numbers: list[tuple[Cell, ...]] = []
    notes = []
    for place, one in enumerate(judged, 1):
        verdicts.append((place, one.claim.says, one.claim.where, one.verdict))
        for held in one.held:
            numbers.append((place, *_cells(held)))
        if one.claim.note:
            notes.append(f"{place}: {one.claim.note}")
    columns = ("claim", "what is said", "where", "verdict")
    number_columns = (
        *("claim", "difference", "claimed", "counts as none", "found"),
        *(f"{LEVEL:.0%} interval", "says"),
    )
    return [
        Table(title, columns, tuple(verdicts), tuple(notes)),
        Table("The numbers", number_columns, tuple(numbers), ABOUT),
    ]


def _cells(held: Held) -> tuple[Cell, ...]:
    """A piece of evidence: what is claimed, what was found, and the verdict."""
    evidence, measured = held.evidence, held.measured
    claimed = str(evidence.expects)
    if evidence.expects == "same":
        claimed = "the same"
    elif evidence.least:
        claimed += f", by {evidence.least:g}"
    margin = f"within {held.margin:g}" if held.margin else ""
    value = number(measured.value, "+.4f", "")
    ends = interval(measured.low, measured.high, "+.4f", "")
    return (evidence.name, claimed, margin, value, ends, str(held.judgement))


def claims_summary(judged: Sequence[Judged]) -> str:
    """How many claims have which verdict, in a sentence."""
    counts = []
    for verdict in VERDICTS:
        count = sum(one.verdict == verdict for one in judged)
        counts.append(f"{count} {verdict}")
    return f"{len(judged)} claims: {', '.join(counts)}."


ABOUT = (
    (
        "supported: the 95% interval lies wholly where the claim says, and its p, corrected over"
        " the study's table, is below 0.05; contradicted: wholly on the other side of zero, or"
        " wholly below what is claimed"
    ),
    (
        "equivalent: the interval lies within the difference that counts as none; inconclusive:"
        " neither the claim nor its contrary is shown; untested: pending, not measured, or one"
        " seed, which is not 'false'"
    ),
    "below 0 a difference is for the worse, of errors too",
)
