"""Which checkpoint is the best: by the target, by the only task, or by the mean over tasks; said
wherever it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from emomtl import EmomtlError, MultiLabel, Regression, SingleLabel
from emomtl.compose import compose_file
from emomtl.contracts.heads import MetricFacts
from emomtl.metrics.scoring import TaskScores
from emomtl.metrics.selection import (
    averaged,
    default_selection,
    is_as_good,
    is_better,
    selected,
    selection_in_words,
)
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint
from emomtl.train import loop, validation
from emomtl.train.validation import Validated

HEADS: dict[str, Any] = {"mood": SingleLabel(), "topics": MultiLabel(), "values": Regression()}
Script = Mapping[int, Sequence[float | None]]


@dataclass(frozen=True)
class Far(SingleLabel):
    """A head of somebody else, whose main metric is an error."""

    main_metric: ClassVar[str] = "distance"
    errors: ClassVar[tuple[str, ...]] = ("distance",)


@dataclass(frozen=True)
class Silent(SingleLabel):
    """A head that answers nothing."""

    answers: ClassVar[Any] = "nothing"


def plan_of(desk: Any, **changes: Any) -> Any:
    return compose_file(desk.manifest(**changes), [], Plugins.discover())


def scripted(
    desk: Any, monkeypatch: pytest.MonkeyPatch, script: Script, **changes: Any
) -> tuple[Run, Any]:
    """A run whose validation says what the script says of `mood` and `topics`, by step."""

    def validate(session: Any, step: int) -> Validated:
        found = {}
        for task, value in zip(session.plan.tasks, script[step], strict=True):
            found[task] = TaskScores(
                8, {"macro_f1": value, "other": 0.5}, {"": []}, MetricFacts("macro_f1")
            )
        return Validated(step, found, {})

    monkeypatch.setattr(validation, "validate", validate)
    monkeypatch.setattr(validation, "save_predictions", lambda *_: "0" * 64)
    train = {"steps": max(script), **changes.pop("train", {})}
    session = desk.begin(
        desk.manifest(train=train, eval={"every": 1, **changes.pop("eval", {})}, **changes)
    )
    outcome = loop.train(session)
    return session.run, outcome


def best_of(run: Run) -> int:
    return int(find_checkpoint(run, "best").resolve().name.split("-")[1])


def test_left_out_it_is_the_mean_the_target_or_the_only_task(desk: Any) -> None:
    assert plan_of(desk).manifest.eval.select == "mean"
    target = {"steps": None, "target": "topics", "target_updates": 4}
    assert plan_of(desk, train=target).manifest.eval.select == "topics/macro_f1"
    assert plan_of(desk, tasks={"mood": None}).manifest.eval.select == "topics/macro_f1"
    assert (
        plan_of(desk, eval={"select": "mood/top1_accuracy"}).manifest.eval.select
        == "mood/top1_accuracy"
    )
    assert default_selection({"values": Regression()}, None) == "values/pearson_r"


def test_a_misspelt_mean_is_refused_with_a_suggestion(desk: Any) -> None:
    with pytest.raises(EmomtlError, match=r"'maen' is no task of this run .did you mean 'mean'"):
        plan_of(desk, eval={"select": "maen"})


def test_the_second_task_counts_as_much_as_the_first(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {1: (0.05, 0.1), 2: (0.04, 0.6), 3: (0.04, 0.5)}
    run, outcome = scripted(desk, monkeypatch, script)
    assert (best_of(run), outcome.best_step) == (2, 2)
    assert outcome.best_value == pytest.approx(0.32)


def test_a_metric_that_is_named_chooses_alone(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script = {1: (0.05, 0.1), 2: (0.04, 0.6)}
    run, outcome = scripted(desk, monkeypatch, script, eval={"select": "mood/macro_f1"})
    assert (best_of(run), outcome.best_value) == (1, 0.05)


def test_of_equal_checkpoints_the_later_one_is_best_and_is_no_gain(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = dict.fromkeys(range(1, 9), (0.0, 0.0))
    run, outcome = scripted(desk, monkeypatch, zeros, eval={"patience": 3})
    assert (
        outcome.reason
        == "the mean over tasks of their main metrics has not improved in 3 evaluations"
    )
    assert (best_of(run), outcome.steps) == (4, 4)


def test_an_undefined_task_is_left_out_said_and_compared_over_what_both_have(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With topics the mean of step 2 is lower than that of step 1 without it, though mood itself is
    # better.
    run, outcome = scripted(desk, monkeypatch, {1: (0.5, None), 2: (0.6, 0.1), 3: (0.55, 0.14)})
    assert best_of(run) == 2
    assert outcome.best_value == pytest.approx(0.35)
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert (
        "topics/macro_f1 is undefined on validation, and left out of the mean that chooses the best"
        " checkpoint" in log
    )


def test_where_nothing_is_ever_defined_the_last_checkpoint_is_best(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, outcome = scripted(desk, monkeypatch, {1: (None, None), 2: (None, None)})
    assert (best_of(run), outcome.best_step, outcome.best_value) == (2, None, None)


def test_scores_and_log_say_by_what_best_was_chosen(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = scripted(desk, monkeypatch, {1: (0.2, 0.4), 2: (0.1, 0.1)})
    entries = {entry["which"]: entry for entry in run.scores()}
    assert entries["best"]["selected_by"] == "mean"
    assert entries["best"]["selected"] == pytest.approx(0.3)
    assert "selected_by" not in entries["last"]
    assert entries["best"]["tasks"]["mood"]["main_metric"] == "macro_f1"
    chosen = "the mean over tasks of their main metrics (mood/macro_f1, topics/macro_f1)"
    assert f"chosen on validation by {chosen}" in (run.folder / "log.txt").read_text(
        encoding="utf-8"
    )


def test_check_and_the_table_after_training_say_by_what_best_is_chosen(desk: Any, cli: Any) -> None:
    manifest = desk.manifest(train={"steps": 2}, eval={"every": 1})
    chosen = "the mean over tasks of their main metrics (mood/macro_f1, topics/macro_f1)"
    said = cli("check", manifest, "--no-step")
    assert f"the best checkpoint is chosen on validation by {chosen}" in said.err
    assert json.loads(cli("check", manifest, "--no-step", "--json").out)["select"] == "mean"
    said = cli("train", manifest, "--out", desk.folder / "run")
    assert said.code == 0, said.err
    assert f", where {chosen} is 0." in " ".join(said.out.split())
    assert "(best so far, by 0." in said.err


def test_an_error_counts_in_its_better_direction() -> None:
    far = Far()
    assert far.skill({"distance": 0.0}) == 1.0
    assert far.skill({"distance": 3.0}) == 0.25
    assert far.skill({"distance": -1.0}) == 2.0
    assert far.skill({"distance": None}) is None
    heads: dict[str, Any] = {"mood": SingleLabel(), "far": far}
    near, wide = ({"mood": {"macro_f1": 0.5}, "far": {"distance": e}} for e in (1.0, 4.0))
    one, other = selected("mean", heads, near), selected("mean", heads, wide)
    assert (one.value, other.value) == (0.5, 0.35)
    assert is_better(one.skills, other.skills)
    assert not is_as_good(other.skills, one.skills)
    alone = [selected("far/distance", heads, found) for found in (near, wide)]
    assert [one.value for one in alone] == [1.0, 4.0]
    assert is_better(alone[0].skills, alone[1].skills)


def test_a_task_that_answers_nothing_does_not_choose() -> None:
    heads: dict[str, Any] = {"words": Silent(), "mood": SingleLabel()}
    assert averaged(heads) == ["mood"]
    assert averaged({"words": Silent()}) == ["words"]
    found = selected("mean", heads, {"words": {"macro_f1": 0.9}, "mood": {"macro_f1": 0.2}})
    assert (found.value, found.left_out) == (0.2, ())
    assert selection_in_words("mean", heads).endswith(
        "(mood/macro_f1; not words, which answers no text)"
    )


def test_a_state_of_an_older_emomtl_goes_on_from_its_best_value(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.train.state import State

    old = {
        key: value
        for key, value in State.fresh(["mood", "topics"]).as_json().items()
        if key != "best_skills"
    }
    session = desk.begin(desk.manifest(eval={"select": "mood/macro_f1"}))
    session.run.close()
    session.state = State.from_json({**old, "step": 4, "best_step": 2, "best_value": 0.5})
    found = {
        task: TaskScores(8, {"macro_f1": 0.4}, {"": []}, MetricFacts("macro_f1"))
        for task in session.plan.tasks
    }
    assert validation.choose(session, found) == (0.4, False)
    assert (session.state.best_step, session.state.stale) == (2, 1)


def test_ties_and_patience_are_the_same_after_a_kill(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros at every evaluation: the later of equal checkpoints is best, and patience counts on,
    whatever came between.
    """
    killed = []

    def validate(session: Any, step: int) -> Validated:
        if step == 3 and not killed:
            killed.append(step)
            raise RuntimeError("killed")
        found = {
            task: TaskScores(8, {"macro_f1": 0.0}, {"": []}, MetricFacts("macro_f1"))
            for task in session.plan.tasks
        }
        return Validated(step, found, {})

    monkeypatch.setattr(validation, "validate", validate)
    monkeypatch.setattr(validation, "save_predictions", lambda *_: "0" * 64)
    manifest = desk.manifest(train={"steps": 8}, eval={"every": 1, "patience": 3})
    with pytest.raises(RuntimeError, match="killed"):
        loop.train(desk.begin(manifest))
    assert best_of(Run.open(desk.folder / "run")) == 2
    session = desk.begin(manifest, resume=True)
    outcome = loop.train(session)
    assert (best_of(session.run), outcome.best_step, outcome.steps) == (4, 4, 4)
    assert outcome.reason.endswith("has not improved in 3 evaluations")


def test_a_metric_without_thresholds_may_choose_and_a_tuned_one_may_not(desk: Any) -> None:
    for metric in (
        "macro_average_precision",
        "micro_average_precision",
        "macro_auroc",
        "micro_auroc",
    ):
        assert (
            plan_of(desk, eval={"select": f"topics/{metric}"}).manifest.eval.select
            == f"topics/{metric}"
        )
    assert plan_of(desk, eval={"select": "mood/log_loss"}).manifest.eval.select == "mood/log_loss"
    with pytest.raises(EmomtlError, match="such as macro_average_precision"):
        plan_of(desk, eval={"select": "topics/macro_f1_tuned"})
    less = [selected("mood/log_loss", HEADS, {"mood": {"log_loss": value}}) for value in (0.4, 0.9)]
    assert is_better(less[0].skills, less[1].skills)
