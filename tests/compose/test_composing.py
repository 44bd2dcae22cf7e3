"""A manifest and plugins make a plan, with every option written out, or one error that lists
everything wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError
from emomtl.compose import Plan, compose, compose_file
from emomtl.manifest import read_manifest
from emomtl.plugins.discovery import Plugins


def plan(path: Path, *overrides: str) -> Plan:
    return compose_file(path, overrides, Plugins.discover())


def problems(path: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(EmomtlError) as caught:
        plan(path, *overrides)
    return {
        problem.place: f"{problem.found} ({problem.remedy})" for problem in caught.value.problems
    }


def test_all_problems_come_at_once_with_their_places(desk: Any) -> None:
    manifest = desk.manifest(
        tasks={
            "mood": {"options": {"txt": "a"}},
            "nowhere": {"source": "nowhere.csv"},
            "topics": {"source": "gone.csv"},
        },
        sampler={"use": "aneald"},
        weighting={"use": "uncertainty", "init": 100.0},
        eval={"select": "mod/macro_f1"},
        encoder={"use": "./no-such-folder"},
    )
    found = problems(manifest)
    wanted = ["tasks.mood.options.txt", "tasks.nowhere", "tasks.topics.source", "sampler.use"]
    for place in [*wanted, "weighting.init", "encoder.use"]:
        assert place in found, found
    assert "did you mean 'annealed'" in found["sampler.use"]


def test_the_complete_manifest_holds_every_option_and_reads_back_equal(
    desk: Any, tmp_path: Path
) -> None:
    made = plan(desk.manifest())
    content = made.manifest
    assert content.sampler.options == {"start": 1.0, "end": 0.2, "by": "progress"}
    assert content.weighting.options == {}  # `init` is left out: it follows from the rows
    assert content.eval.select == "mean"
    assert content.tasks["topics"].head is not None
    assert content.tasks["topics"].head.options["threshold"] == 0.5
    assert content.folder == str(desk.folder)
    from emomtl.manifest import write_manifest

    (tmp_path / "again.toml").write_text(write_manifest(content), encoding="utf-8")
    again = read_manifest(tmp_path / "again.toml")
    assert again == content
    assert compose(again, Plugins.discover(), tmp_path).manifest == content


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("mod/macro_f1", "'mod' is no task of this run (did you mean 'mood'?)"),
        ("mood/macro_f2", "task 'mood' has no metric 'macro_f2' (did you mean 'macro_f1'?)"),
        ("mood/micro_f1", "task 'mood' has no metric 'micro_f1'"),
        ("topics/ekman/macro_f1", "task 'topics' has no metric 'ekman/macro_f1'"),
        ("mood", "task 'mood' has no metric ''"),
    ],
)
def test_a_figure_that_no_task_has_cannot_select(desk: Any, select: str, said: str) -> None:
    assert said in problems(desk.manifest(eval={"select": select}))["eval.select"]


def test_an_unknown_target_is_refused_and_the_nearest_suggested(desk: Any) -> None:
    found = problems(desk.manifest(train={"steps": None, "target_updates": 5, "target": "topic"}))
    assert found["train.target"] == "'topic' is no task of this run (did you mean 'topics'?)"


def test_overrides_go_through_the_same_checks(desk: Any) -> None:
    made = plan(desk.manifest(), "train.lr=1e-5", "sampler.by=epoch", "tasks.mood.weight=0.5")
    assert (made.manifest.train.lr, made.sampler.by, made.tasks["mood"].table.weight) == (
        1e-5,
        "epoch",
        0.5,
    )  # type: ignore[attr-defined]
    keys = ("train.lrr=1", "evaluation.every=2")
    assert set(problems(desk.manifest(), *keys)) == {"--set train.lrr", "--set evaluation"}
    options = ("sampler.by=week", "weighting.init=100.0")
    assert set(problems(desk.manifest(), *options)) == {"--set sampler.by", "--set weighting.init"}


def test_wrong_keys_come_before_unknown_names(desk: Any) -> None:
    manifest = desk.manifest(train={"lr": -1.0}, sampler={"use": "aneald"})
    assert set(problems(manifest)) == {"train.lr"}
    assert set(problems(manifest, "train.lr=1e-5")) == {"sampler.use"}


def test_a_head_can_be_changed_and_given_options(desk: Any) -> None:
    made = plan(
        desk.manifest(
            tasks={
                "mood": {"head": {"use": "multi-label", "threshold": 0.2}},
                "topics": {"head": {"lr": 0.5}},
            }
        )
    )
    assert made.tasks["mood"].head.kind == "multi-label"
    assert made.tasks["mood"].head.threshold == 0.2  # type: ignore[attr-defined]
    assert (made.tasks["topics"].head.kind, made.tasks["topics"].head.lr) == ("multi-label", 0.5)
    found = problems(desk.manifest(tasks={"mood": {"head": {"use": "multi-lable"}}}))
    assert "did you mean 'multi-label'" in found["tasks.mood.head.use"]


def test_a_labelled_task_cannot_answer_with_numbers(desk: Any) -> None:
    labels = {"options": {"labels": ["joy", "anger", "sadness"]}, "head": {"use": "regression"}}
    assert "takes no taxonomy" in problems(desk.manifest(tasks={"mood": labels}))["tasks.mood.head"]


def test_a_finished_run_is_composed_without_rows_or_encoder(desk: Any) -> None:
    manifest = desk.manifest(encoder={"use": "./gone"}, tasks={"mood": {"source": "gone.csv"}})
    content = read_manifest(manifest)
    made = compose(content, Plugins.discover(), desk.folder, training=False)
    assert made.tasks["mood"].located is None


def test_learned_labels_are_written_into_the_run_s_manifest(trained: Any) -> None:
    """And not as `options.labels`, beside which a number would be a position."""
    table = trained.manifest.tasks["topics"]
    assert table.learned_labels == ("anger", "fear", "joy", "sadness")
    assert "labels" not in table.options
