"""What others have claimed, held against the results of studies and analyses: supported, not supported, or untested here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest.models import Table as Keys
from emomtl.report.cells import Cell, Table
from emomtl.run.files import read_json
from emomtl.study.reading import read_strict

RESULT = "result.json"
"""The file of a study's folder that its comparisons are read from."""

Verdict = Literal["supported", "not supported", "untested"]
"""Evidence for a claim; evidence against it, or none where it was looked for; or not looked for (or with one seed alone)."""

LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""


class Evidence(Keys):
    """One difference that a claim speaks of: of a study's row from the row that it is compared with, or of an analysis."""

    study: str | None = Field(default=None, description="the name of a study; its folders are among those given")
    row: str | None = Field(default=None, description="the row of the study")
    analysis: str | None = Field(default=None, description="a JSON file of an analysis, by its name among the folders given")
    at: tuple[str, ...] = Field(default=(), description="the way to an object with `value`, `low` and `high` in it")
    says: str | None = Field(default=None, description="what the difference is, in words; left out, its row or way")
    expects: Literal["more", "less", "same"] = Field(default="more", description="what the claim says of the difference")
    least: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="how large it must be at least; with `same`, how large its interval may reach at most"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Evidence:
        if (self.study is None) == (self.analysis is None):
            raise ValueError("study or analysis: give one of the two")
        if (self.row is None) != (self.study is None) or bool(self.at) != bool(self.analysis):
            raise ValueError("a study goes with `row`, an analysis with `at`")
        if self.expects == "same" and not self.least:
            raise ValueError('expects = "same" needs `least`: the largest difference that counts as none')
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
    claims: tuple[Claim, ...] = Field(min_length=1, description="the claims, in the order of the page")


@dataclass(frozen=True)
class Held:
    """One piece of evidence with the difference that was found, and what it says of the claim."""

    evidence: Evidence
    value: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    reason: str


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

    A claim that needs all of its evidence is untested while a piece is missing and none speaks against it. Evidence counts where
    the 95% interval of the difference (of a study: the p that is corrected over its table) excludes zero on the side that was
    claimed, and the difference is at least as large; `same` counts where the interval lies within plus and minus `least`. One
    seed is no evidence. EmomtlError where a file is damaged, or two folders hold results of one study.
    """
    found = _results(folders)
    return [_judged(claim, [_held(one, found, folders) for one in claim.evidence]) for claim in claims.claims]


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


def _held(evidence: Evidence, results: Mapping[str, Mapping[str, Any]], folders: Sequence[Path]) -> Held:
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
        return _untested(evidence, "undefined")
    if not isinstance(node, Mapping) or not all(type(node.get(key)) in (int, float) for key in ("value", "low", "high")):
        return _untested(evidence, "not measured")
    value, low, high = (float(node[key]) for key in ("value", "low", "high"))
    if not all(map(math.isfinite, (value, low, high))):
        return _untested(evidence, "undefined")
    if type(node.get("seeds", 1)) is int and node.get("seeds", 1) < 2:
        return Held(evidence, value, low, high, "untested", "one seed")
    return _weighed(evidence, value, low, high, low > 0 or high < 0)


def _next(node: Any, step: str) -> Any:
    """One step into JSON: a key of an object, or the element of a list that is called so; None where there is none."""
    if isinstance(node, Mapping):
        return node.get(step)
    if not isinstance(node, list):
        return None
    named = [one for one in node if isinstance(one, Mapping) and step in (one.get("run"), one.get("row"), one.get("name"))]
    return named[0] if named else None


def _of_study(evidence: Evidence, result: Mapping[str, Any] | None) -> Held:
    if result is None:
        return _untested(evidence, "not run")
    try:
        return _of_rows(evidence, str(evidence.row), {str(row["row"]): row for row in result["rows"]})
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        found = f"the result of the study '{clean(str(evidence.study))}' is not what emomtl writes"
        raise EmomtlError(Problem("claims", found, "run the study again: what is done is kept")) from error


def _of_rows(evidence: Evidence, name: str, rows: Mapping[str, Mapping[str, Any]]) -> Held:
    if evidence.row not in rows:
        raise EmomtlError(Problem("claims", f"the study '{clean(str(evidence.study))}' has no row '{clean(str(evidence.row))}'"))
    comparison = rows[name]["comparison"]
    if comparison is None:
        other = rows[name].get("not_compared")
        return _untested(evidence, "scored on other test rows" if other else str(rows[name]["state"]))
    difference = comparison["difference"]
    ends = [difference[key] for key in ("value", "low", "high")]
    if any(end is None or not math.isfinite(end) for end in ends):
        return _untested(evidence, "undefined")
    sign = -1 if rows[name].get("less_is_better") else 1
    value, low, high = (sign * float(end) for end in ends)
    low, high = min(low, high), max(low, high)
    if comparison["seeds"] < 2:
        return Held(evidence, value, low, high, "untested", "one seed")
    return _weighed(evidence, value, low, high, comparison["verdict"] in ("gain", "harm"))


def _untested(evidence: Evidence, reason: str) -> Held:
    return Held(evidence, None, None, None, "untested", reason)


def _weighed(evidence: Evidence, value: float, low: float, high: float, clear: bool) -> Held:
    """A difference, whose interval or corrected p says `clear`ly that it is not zero, against what is claimed of it."""
    if evidence.expects == "same":
        inside = -evidence.least < low and high < evidence.least
        reason = "within the margin" if inside else "differs" if clear else "not within the margin"
        return Held(evidence, value, low, high, "supported" if inside else "not supported", reason)
    claimed = value if evidence.expects == "more" else -value
    if not clear:
        return Held(evidence, value, low, high, "not supported", "no evidence")
    if claimed <= 0:
        return Held(evidence, value, low, high, "not supported", "the other way round")
    enough = claimed >= evidence.least
    return Held(evidence, value, low, high, "supported" if enough else "not supported", "as claimed" if enough else "too small")


def _judged(claim: Claim, held: Sequence[Held]) -> Judged:
    verdicts = [one.verdict for one in held]
    decisive: Verdict = "not supported" if claim.needs == "all" else "supported"
    verdict: Verdict
    if decisive in verdicts:
        verdict = decisive
    elif not verdicts or "untested" in verdicts:
        verdict = "untested"
    else:
        verdict = "supported" if claim.needs == "all" else "not supported"
    return Judged(claim, tuple(held), verdict)


def claims_tables(title: str, judged: Sequence[Judged]) -> list[Table]:
    """The verdicts in one table, and the numbers behind each in another."""
    verdicts = [(number, one.claim.says, one.claim.where, _said(one.verdict)) for number, one in enumerate(judged, 1)]
    notes = [f"{number}: {one.claim.note}" for number, one in enumerate(judged, 1) if one.claim.note]
    columns = ("claim", "difference", "claimed", "found", "95% interval", "says")
    return [
        Table(title, ("claim", "what is said", "where", "verdict"), tuple(verdicts), tuple(notes)),
        Table("The numbers", columns, tuple(_numbers(judged)), (ABOUT,)),
    ]


ABOUT = (
    "a difference counts where its 95% interval, or its p corrected over the study's table, excludes zero; below 0 it is for the "
    "worse, of errors too; 'untested' is not 'false'"
)


def _numbers(judged: Sequence[Judged]) -> Iterator[tuple[Cell, ...]]:
    for number, one in enumerate(judged, 1):
        for held in one.held:
            claimed = {"more": "more", "less": "less", "same": "the same"}[held.evidence.expects]
            if held.evidence.least:
                claimed += f", {'within' if held.evidence.expects == 'same' else 'by'} {held.evidence.least:g}"
            value = "" if held.value is None else f"{held.value:+.4f}"
            interval = "" if held.low is None or held.high is None else f"{held.low:+.4f} to {held.high:+.4f}"
            yield (number, held.evidence.name, claimed, value, interval, f"{_said(held.verdict)} ({held.reason})")


def _said(verdict: Verdict) -> str:
    return "untested here" if verdict == "untested" else verdict
