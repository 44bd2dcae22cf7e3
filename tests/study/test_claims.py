"""Claims are held against differences, and a claim without a measurement is untested and never false."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from emomtl.errors import EmomtlError
from emomtl.plugins import Plugins
from emomtl.study import read_study
from emomtl.study.claims import judge, read_claims

ROW = {"study": "small", "row": "more"}


def written(folder: Path, evidence: list[dict[str, Any]], **keys: Any) -> Path:
    """A file of one claim."""
    path = folder / "claims.toml"
    path.write_text(tomli_w.dumps({"title": "Ours", "claims": [{"says": "It helps.", "evidence": evidence, **keys}]}))
    return path


def result(folder: Path, value: float, low: float, high: float, verdict: str, seeds: int = 3, less: bool = False) -> Path:
    """A study's folder with a row that differs so from its reference."""
    folder.mkdir(exist_ok=True)
    comparison = {"difference": {"value": value, "low": low, "high": high}, "seeds": seeds, "verdict": verdict}
    rows = [
        {"row": "alone", "state": "whole", "comparison": None},
        {"row": "more", "state": "whole", "less_is_better": less, "comparison": comparison},
        {"row": "late", "state": "pending", "comparison": None},
    ]
    (folder / "result.json").write_text(json.dumps({"study": "small", "rows": rows}))
    return folder


@pytest.mark.parametrize(
    ("difference", "evidence", "verdict", "reason"),
    [
        ((0.03, 0.01, 0.05, "gain"), {}, "supported", "as claimed"),
        ((0.03, 0.01, 0.05, "gain"), {"least": 0.02}, "supported", "as claimed"),
        ((0.015, 0.01, 0.02, "gain"), {"least": 0.02}, "not supported", "too small"),
        ((0.03, -0.01, 0.07, "no evidence"), {}, "not supported", "no evidence"),
        ((-0.03, -0.05, -0.01, "harm"), {}, "not supported", "the other way round"),
        ((-0.03, -0.05, -0.01, "harm"), {"expects": "less"}, "supported", "as claimed"),
        ((0.003, -0.01, 0.016, "no evidence"), {"expects": "same", "least": 0.02}, "supported", "within the margin"),
        ((0.003, -0.03, 0.036, "no evidence"), {"expects": "same", "least": 0.02}, "not supported", "not within the margin"),
    ],
)
def test_a_difference_of_a_study_supports_a_claim_or_not(
    tmp_path: Path, difference: tuple[Any, ...], evidence: dict[str, Any], verdict: str, reason: str
) -> None:
    folder = result(tmp_path / "study", *difference)
    (one,) = judge(read_claims(written(tmp_path, [ROW | evidence])), [folder])
    assert (one.verdict, one.held[0].verdict, one.held[0].reason) == (verdict, verdict, reason)
    assert one.held[0].value == pytest.approx(difference[0])


def test_an_error_that_falls_is_a_gain(tmp_path: Path) -> None:
    folder = result(tmp_path / "study", -0.03, -0.05, -0.01, "gain", less=True)
    (one,) = judge(read_claims(written(tmp_path, [ROW])), [folder])
    assert one.verdict == "supported"
    assert (one.held[0].value, one.held[0].low, one.held[0].high) == (0.03, 0.01, 0.05)


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (ROW, "one seed"),
        ({"study": "small", "row": "late"}, "pending"),
        ({"study": "another", "row": "more"}, "not run"),
        ({"analysis": "space.json", "at": ["rows", "x", "difference"]}, "not measured"),
    ],
)
def test_what_was_not_measured_or_with_one_seed_alone_is_untested(tmp_path: Path, evidence: dict[str, Any], reason: str) -> None:
    folder = result(tmp_path / "study", 0.03, 0.01, 0.05, "one seed: no verdict", seeds=1)
    (one,) = judge(read_claims(written(tmp_path, [evidence])), [folder])
    assert (one.verdict, one.held[0].reason) == ("untested", reason)


def test_an_analysis_is_found_by_the_names_on_the_way(tmp_path: Path) -> None:
    figure = {"value": 0.5, "difference": {"value": 0.2, "low": 0.1, "high": 0.3, "seeds": 3}}
    (tmp_path / "space.json").write_text(json.dumps({"runs": [{"run": "alone"}, {"run": "both", "figures": {"VAD": figure}}]}))
    found = read_claims(written(tmp_path, [{"analysis": "space.json", "at": ["runs", "both", "figures", "VAD", "difference"]}]))
    (one,) = judge(found, [tmp_path])
    assert (one.verdict, one.held[0].value) == ("supported", 0.2)


@pytest.mark.parametrize("at", [["runs", "other", "figures", "VAD"], ["seed", "deeper"], ["runs", "both", "nothing", "here"]])
def test_a_way_that_leads_nowhere_is_untested(tmp_path: Path, at: list[str]) -> None:
    (tmp_path / "space.json").write_text(json.dumps({"seed": 17, "runs": [{"run": "both"}]}))
    (one,) = judge(read_claims(written(tmp_path, [{"analysis": "space.json", "at": at}])), [tmp_path])
    assert (one.verdict, one.held[0].reason) == ("untested", "not measured")


@pytest.mark.parametrize(
    ("needs", "others", "verdict"),
    [
        ("all", [], "supported"),
        ("all", [{"study": "another", "row": "more"}], "untested"),
        ("any", [{"study": "another", "row": "more"}], "supported"),
        ("all", [ROW | {"expects": "less"}, {"study": "another", "row": "more"}], "not supported"),
    ],
)
def test_one_piece_that_speaks_against_decides_and_one_that_is_missing_leaves_open(
    tmp_path: Path, needs: str, others: list[dict[str, Any]], verdict: str
) -> None:
    folder = result(tmp_path / "study", 0.03, 0.01, 0.05, "gain")
    (one,) = judge(read_claims(written(tmp_path, [ROW, *others], needs=needs)), [folder])
    assert one.verdict == verdict


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"study": "small"}, "goes with `row`"),
        ({"study": "small", "row": "more", "analysis": "x.json", "at": ["a"]}, "study or analysis"),
        (ROW | {"expects": "same"}, "needs `least`"),
        (ROW | {"expects": "greater"}, "expects"),
        (ROW | {"colour": 1}, "colour"),
    ],
)
def test_a_wrong_file_is_one_clear_message(tmp_path: Path, cli: Any, evidence: dict[str, Any], said: str) -> None:
    answer = cli("claims", written(tmp_path, [evidence]), tmp_path)
    assert answer.code == 1
    assert said in answer.err
    assert "claims.toml" in answer.err


def test_a_row_that_the_study_lacks_and_a_second_result_are_refused(tmp_path: Path) -> None:
    folder, other = (result(tmp_path / name, 0.03, 0.01, 0.05, "gain") for name in ("one", "two"))
    with pytest.raises(EmomtlError, match="no row 'most'"):
        judge(read_claims(written(tmp_path, [{"study": "small", "row": "most"}])), [folder])
    with pytest.raises(EmomtlError, match="a second result of the study 'small'"):
        judge(read_claims(written(tmp_path, [ROW])), [folder, other])


def test_the_command_writes_a_page_and_tables(tmp_path: Path, cli: Any) -> None:
    folder = result(tmp_path / "study", 0.03, 0.01, 0.05, "gain")
    page, text = tmp_path / "claims.html", tmp_path / "claims.md"
    said = cli("claims", written(tmp_path, [ROW]), folder, "--html", page, "--markdown", text, "--json")
    assert said.code == 0, said.err
    verdicts, numbers = json.loads(said.out)["tables"]
    assert verdicts["rows"][0][3] == "supported"
    assert numbers["rows"][0][3] == "+0.0300"
    assert "1 claims: 1 supported, 0 not supported, 0 untested here." in page.read_text(encoding="utf-8")
    assert "It helps." in text.read_text(encoding="utf-8")


def test_shipped_claims_speak_of_shipped_studies_and_their_rows() -> None:
    plugins = Plugins.discover()
    for offer in plugins.offers("claims").values():
        for claim in read_claims(offer.value).claims:
            for evidence in claim.evidence:
                if evidence.study is not None:
                    study = read_study(plugins.offer("study", evidence.study).value)
                    assert evidence.row in [row.name for row in study.rows()]
