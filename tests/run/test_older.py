"""What runs of an older emomtl did not write as fields is read from elsewhere, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emomtl.contracts.heads import MetricFacts, MultiLabel, Regression, SingleLabel
from emomtl.manifest import HeadTable
from emomtl.run.older import metric_facts, seconds_trained, stop_in_log

OF_LABELS = dict.fromkeys(("macro_f1", "micro_f1", "subset_accuracy", "ekman/macro_f1"), 0.5)
OF_ONE_LABEL = dict.fromkeys(("top1_accuracy", "macro_f1", "log_loss"), 0.5)
OF_NUMBERS = dict.fromkeys(("pearson_r", "pearson_r_valence", "rmse", "rmse_valence"), 0.5)
HEADS = [
    (MultiLabel(), OF_LABELS),
    (SingleLabel(), OF_ONE_LABEL),
    (Regression(("valence",)), OF_NUMBERS),
]


@pytest.mark.parametrize(("head", "metrics"), HEADS)
@pytest.mark.parametrize("named", ["in the scores", "in the manifest", "nowhere"])
def test_older_scores_have_the_facts_of_the_head_that_gave_them(
    head: Any, metrics: dict[str, float], named: str
) -> None:
    about = {"head": {"kind": head.kind, "of_emomtl": True}} if named == "in the scores" else {}
    table = HeadTable(use=head.kind) if named == "in the manifest" else None
    assert metric_facts({"metrics": metrics, **about}, table) == MetricFacts.of(head, list(metrics))


def test_fields_stand_before_what_a_head_of_emomtl_would_say() -> None:
    written = {
        "main_metric": "log_loss",
        "errors": ["macro_f1"],
        "headline": ["log_loss"],
        "reported": [],
    }
    facts = metric_facts({"metrics": OF_ONE_LABEL, **written}, HeadTable(use="single-label"))
    assert facts == MetricFacts("log_loss", ("macro_f1",), ("log_loss",), ())


def test_fields_that_an_older_emomtl_wrote_hold_and_the_rest_is_filled_in() -> None:
    facts = metric_facts(
        {"metrics": OF_ONE_LABEL, "main_metric": "log_loss", "errors": ["log_loss"]}
    )
    assert (facts.main_metric, facts.errors) == ("log_loss", ("log_loss",))
    assert facts.reported == ("top1_accuracy", "macro_f1", "log_loss")


def test_of_an_unknown_head_the_first_metric_is_the_main_one() -> None:
    facts = metric_facts(
        {"metrics": {"masked_nll": 2.0, "x/masked_nll": 3.0, "top1_accuracy": 0.1}}
    )
    assert facts.main_metric == "masked_nll"
    assert facts.errors == ("masked_nll", "x/masked_nll")
    assert facts.headline == facts.reported == ("masked_nll", "top1_accuracy")
    assert metric_facts({"metrics": {}}).main_metric is None


def test_a_main_metric_that_the_scores_lack_is_not_taken() -> None:
    assert metric_facts({"metrics": OF_LABELS, "main_metric": "distance"}).main_metric == "macro_f1"


def test_a_log_says_how_long_each_part_trained(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert seconds_trained(log) == []
    ends = [
        f"finished after {steps} steps; {seconds} s since the start or the last resume"
        for steps, seconds in ((4, 2.5), (8, 3))
    ]
    log.write_text("\n".join(["training x", *ends, "mood: 1 s"]) + "\n", encoding="utf-8")
    assert seconds_trained(log) == [2.5, 3.0]


def test_a_log_says_why_a_run_broke_off_in_its_last_line_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert stop_in_log(log) is None
    log.write_text("a\nstopped at step 40: the loss is not finite\n", encoding="utf-8")
    assert stop_in_log(log) == (40, "the loss is not finite")
    log.write_text(
        "stopped at step 40: the loss is not finite\ntraining x: mood from step 40\n",
        encoding="utf-8",
    )
    assert stop_in_log(log) is None
