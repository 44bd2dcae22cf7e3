"""Claims are held against differences: five verdicts, and a claim without a measurement is untested
and never false.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.study import read_study
from emomtl.study.claims import judge, read_claims

ROW = {"study": "small", "row": "more"}


def written(folder: Path, evidence: list[dict[str, Any]], **keys: Any) -> Path:
    """A file of one claim."""
    path = folder / "claims.toml"
    path.write_text(
        tomli_w.dumps(
            {"title": "Ours", "claims": [{"says": "It helps.", "evidence": evidence, **keys}]}
        )
    )
    return path


def result(
    folder: Path,
    value: float,
    low: float,
    high: float,
    p: float,
    seeds: int = 3,
    less: bool = False,
) -> Path:
    """A study's folder with a row that differs so from its reference, and the same of fewer seeds
    than were asked for.
    """
    folder.mkdir(exist_ok=True)
    comparison = {
        "difference": {"value": value, "low": low, "high": high},
        "seeds": seeds,
        "p_holm": p,
    }
    rows = [
        {"row": "alone", "state": "whole", "comparison": None},
        {"row": "more", "state": "whole", "less_is_better": less, "comparison": comparison},
        {"row": "late", "state": "pending", "comparison": None},
        {"row": "part", "state": "2 of 3 seeds", "comparison": comparison},
        {"row": "over part", "state": "whole", "comparison": comparison, "against": "part"},
    ]
    (folder / "result.json").write_text(
        json.dumps({"study": "small", "reference": "alone", "rows": rows})
    )
    return folder


SAME = {"expects": "same", "margin": 0.02}


@pytest.mark.parametrize(
    ("difference", "evidence", "verdict", "reason"),
    [
        ((0.03, 0.01, 0.05, 0.01), {}, "supported", "as claimed"),
        ((0.03, 0.02, 0.04, 0.01), {"least": 0.02}, "supported", "as claimed"),
        ((0.03, 0.01, 0.05, 0.01), {"least": 0.02}, "inconclusive", "may be less than 0.02"),
        ((0.02, -0.01, 0.05, 0.4), {"least": 0.02}, "inconclusive", "may be 0 or 0.02"),
        ((0.013, 0.01, 0.016, 0.01), {"least": 0.02}, "contradicted", "smaller than claimed"),
        ((0.003, -0.01, 0.016, 0.7), {"least": 0.02}, "contradicted", "smaller than claimed"),
        ((0.003, -0.01, 0.016, 0.7), {"least": 0.03, "margin": 0.02}, "equivalent", "within 0.02"),
        ((0.03, -0.01, 0.07, 0.4), {}, "inconclusive", "may be 0"),
        ((0.03, 0.01, 0.05, 0.08), {}, "inconclusive", "not clear after correction"),
        ((-0.03, -0.05, -0.01, 0.08), {}, "inconclusive", "not clear after correction"),
        ((-0.03, -0.05, -0.01, 0.01), {}, "contradicted", "the other way round"),
        ((-0.03, -0.05, -0.01, 0.01), {"expects": "less"}, "supported", "as claimed"),
        ((0.0, 0.0, 0.0, 1.0), {}, "equivalent", "within 0"),
        ((0.0, 0.0, 0.0, 1.0), SAME, "supported", "within 0.02"),
        ((0.003, -0.01, 0.016, 0.7), SAME, "supported", "within 0.02"),
        (
            (0.003, -0.01, 0.016, 0.7),
            {"expects": "same", "least": 0.02},
            "supported",
            "within 0.02",
        ),
        ((0.003, -0.03, 0.036, 0.9), SAME, "inconclusive", "may be more than 0.02"),
        ((0.05, 0.03, 0.07, 0.01), SAME, "contradicted", "differs by more than 0.02"),
    ],
)
def test_an_interval_decides_what_a_study_says_of_a_claim(
    tmp_path: Path, difference: tuple[Any, ...], evidence: dict[str, Any], verdict: str, reason: str
) -> None:
    folder = result(tmp_path / "study", *difference)
    (one,) = judge(read_claims(written(tmp_path, [ROW | evidence])), [folder])
    assert (one.verdict, one.held[0].judgement.verdict, one.held[0].judgement.reason) == (
        verdict,
        verdict,
        reason,
    )
    assert one.held[0].measured.value == pytest.approx(difference[0])


def test_an_error_that_falls_is_a_gain(tmp_path: Path) -> None:
    folder = result(tmp_path / "study", -0.03, -0.05, -0.01, 0.01, less=True)
    (one,) = judge(read_claims(written(tmp_path, [ROW])), [folder])
    assert one.verdict == "supported"
    assert (one.held[0].measured.value, one.held[0].measured.low, one.held[0].measured.high) == (
        0.03,
        0.01,
        0.05,
    )


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (ROW, "one seed"),
        ({"study": "small", "row": "late"}, "pending"),
        ({"study": "small", "row": "part"}, "2 of 3 seeds"),
        ({"study": "small", "row": "over part"}, "2 of 3 seeds"),
        ({"study": "small", "row": "alone"}, "not compared"),
        ({"study": "another", "row": "more"}, "not run"),
        ({"analysis": "space.json", "at": ["rows", "x", "difference"]}, "not measured"),
    ],
)
def test_what_was_not_measured_or_with_one_seed_alone_is_untested(
    tmp_path: Path, evidence: dict[str, Any], reason: str
) -> None:
    folder = result(tmp_path / "study", 0.03, 0.01, 0.05, 0.01, seeds=1)
    (one,) = judge(read_claims(written(tmp_path, [evidence])), [folder])
    assert (one.verdict, one.held[0].judgement.reason) == ("untested", reason)


def test_an_analysis_is_found_by_the_names_on_the_way(tmp_path: Path) -> None:
    figure = {"value": 0.5, "difference": {"value": 0.2, "low": 0.1, "high": 0.3, "seeds": 3}}
    (tmp_path / "space.json").write_text(
        json.dumps({"runs": [{"run": "alone"}, {"run": "both", "figures": {"VAD": figure}}]})
    )
    found = read_claims(
        written(
            tmp_path,
            [{"analysis": "space.json", "at": ["runs", "both", "figures", "VAD", "difference"]}],
        )
    )
    (one,) = judge(found, [tmp_path])
    assert (one.verdict, one.held[0].measured.value) == ("supported", 0.2)


@pytest.mark.parametrize(
    "at",
    [["runs", "other", "figures", "VAD"], ["seed", "deeper"], ["runs", "both", "nothing", "here"]],
)
def test_a_way_that_leads_nowhere_is_untested(tmp_path: Path, at: list[str]) -> None:
    (tmp_path / "space.json").write_text(json.dumps({"seed": 17, "runs": [{"run": "both"}]}))
    (one,) = judge(
        read_claims(written(tmp_path, [{"analysis": "space.json", "at": at}])), [tmp_path]
    )
    assert (one.verdict, one.held[0].judgement.reason) == ("untested", "not measured")


@pytest.mark.parametrize(
    ("needs", "others", "verdict"),
    [
        ("all", [], "supported"),
        ("all", [{"study": "another", "row": "more"}], "untested"),
        ("any", [{"study": "another", "row": "more"}], "supported"),
        ("all", [ROW | {"expects": "less"}, {"study": "another", "row": "more"}], "contradicted"),
        ("all", [ROW | {"least": 0.02}], "inconclusive"),
        ("all", [ROW | {"least": 0.02}, {"study": "small", "row": "late"}], "untested"),
        ("all", [ROW | {"margin": 0.05}], "equivalent"),
        ("any", [ROW | {"expects": "less"}], "supported"),
    ],
)
def test_one_piece_that_speaks_against_decides_and_one_that_is_missing_leaves_open(
    tmp_path: Path, needs: str, others: list[dict[str, Any]], verdict: str
) -> None:
    folder = result(tmp_path / "study", 0.03, 0.01, 0.05, 0.01)
    (one,) = judge(read_claims(written(tmp_path, [ROW, *others], needs=needs)), [folder])
    assert one.verdict == verdict


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ({"study": "small"}, "goes with `row`"),
        ({"study": "small", "row": "more", "analysis": "x.json", "at": ["a"]}, "study or analysis"),
        (ROW | {"expects": "same"}, "needs `margin`"),
        (SAME | ROW | {"least": 0.01}, "give one of the two"),
        (ROW | {"least": 0.01, "margin": 0.02}, "give a smaller `margin`"),
        (ROW | {"expects": "greater"}, "expects"),
        (ROW | {"colour": 1}, "colour"),
    ],
)
def test_a_wrong_file_is_one_clear_message(
    tmp_path: Path, cli: Any, evidence: dict[str, Any], said: str
) -> None:
    answer = cli("claims", written(tmp_path, [evidence]), tmp_path)
    assert answer.code == 1
    assert said in answer.err
    assert "claims.toml" in answer.err


def test_a_row_that_the_study_lacks_and_a_second_result_are_refused(tmp_path: Path) -> None:
    folder, other = (result(tmp_path / name, 0.03, 0.01, 0.05, 0.01) for name in ("one", "two"))
    with pytest.raises(EmomtlError, match="no row 'most'"):
        judge(read_claims(written(tmp_path, [{"study": "small", "row": "most"}])), [folder])
    with pytest.raises(EmomtlError, match="a second result of the study 'small'"):
        judge(read_claims(written(tmp_path, [ROW])), [folder, other])


def test_the_command_writes_a_page_and_tables(tmp_path: Path, cli: Any) -> None:
    folder = result(tmp_path / "study", 0.03, 0.01, 0.05, 0.01)
    page, text = tmp_path / "claims.html", tmp_path / "claims.md"
    said = cli(
        "claims", written(tmp_path, [ROW]), folder, "--html", page, "--markdown", text, "--json"
    )
    assert said.code == 0, said.err
    verdicts, numbers = json.loads(said.out)["tables"]
    assert verdicts["rows"][0][3] == "supported"
    assert numbers["rows"][0][4:7] == ["+0.0300", "+0.0100 to +0.0500", "supported (as claimed)"]
    assert (
        "1 claims: 1 supported, 0 contradicted, 0 equivalent, 0 inconclusive, 0 untested."
        in page.read_text(encoding="utf-8")
    )
    assert "It helps." in text.read_text(encoding="utf-8")


def test_shipped_claims_speak_of_shipped_studies_and_their_rows() -> None:
    plugins = Plugins.discover()
    for offer in plugins.offers("claims").values():
        for claim in read_claims(offer.value).claims:
            for evidence in claim.evidence:
                if evidence.study is not None:
                    study = read_study(plugins.offer("study", evidence.study).value)
                    assert evidence.row in [row.name for row in study.rows()]


@pytest.mark.parametrize(
    ("verdicts", "of_all", "of_any"),
    [
        (["supported", "equivalent"], "equivalent", "supported"),
        (["contradicted", "equivalent"], "contradicted", "equivalent"),
        (["contradicted", "inconclusive"], "contradicted", "inconclusive"),
        (["contradicted", "contradicted"], "contradicted", "contradicted"),
        (["contradicted", "untested"], "contradicted", "untested"),
        (["supported", "untested"], "untested", "supported"),
        (["equivalent", "untested"], "untested", "untested"),
        (["inconclusive", "untested"], "untested", "untested"),
    ],
)
def test_a_claim_is_what_its_evidence_says_together(
    tmp_path: Path, verdicts: list[str], of_all: str, of_any: str
) -> None:
    ends = {
        "supported": (0.01, 0.05),
        "contradicted": (-0.05, -0.01),
        "equivalent": (0.0, 0.0),
        "inconclusive": (-0.05, 0.05),
    }
    found = {
        name: {"value": sum(two) / 2, "low": two[0], "high": two[1], "seeds": 3}
        for name, two in ends.items()
    }
    (tmp_path / "x.json").write_text(json.dumps(found))
    evidence = [{"analysis": "x.json", "at": [verdict]} for verdict in verdicts]
    for needs, expected in (("all", of_all), ("any", of_any)):
        (one,) = judge(read_claims(written(tmp_path, evidence, needs=needs)), [tmp_path])
        assert one.verdict == expected


def test_a_margin_of_the_file_holds_for_evidence_without_one(tmp_path: Path) -> None:
    folder = result(tmp_path / "study", 0.003, -0.01, 0.016, 0.7)
    path = written(tmp_path, [ROW, ROW | {"margin": 0.012}])
    path.write_text("margin = 0.02\n" + path.read_text())
    (one,) = judge(read_claims(path), [folder])
    assert [held.judgement.verdict for held in one.held] == ["equivalent", "inconclusive"]


def test_a_claims_file_of_old_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(
        'title = "Old"\n[[claims]]\nsays = "No matter."\n'
        'evidence = [{ study = "small", row = "more", expects = "same", least = 0.06 }]\n'
    )
    (one,) = judge(read_claims(path), [result(tmp_path / "study", 0.03, 0.01, 0.05, 0.01)])
    assert one.verdict == "supported"
