"""Runs that start from another: by `[start]`, or with `[pretrain]` from a run of masked language
modelling made before.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl.compose import compose_file, pretraining, stages
from emomtl.errors import EmomtlError
from emomtl.manifest import Manifest, read_manifest, write_manifest
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train import Display, start, train

PRETRAIN = {"on": ["mood"], "steps": 4, "lr": 1e-3, "batch_size": 8}


def weights(run: Run | Path, which: str = "best") -> dict[str, torch.Tensor]:
    opened = Run.open(run) if isinstance(run, Path) else run
    return open_checkpoint(find_checkpoint(opened, which).resolve()).tensors("model")


# -- [pretrain]: a pure function from a manifest to a manifest
# ----------------------------------------------------------


def test_pretraining_is_a_pure_function_of_the_manifest(desk: Any) -> None:
    manifest = read_manifest(desk.manifest(pretrain={**PRETRAIN, "share": 0.3, "limit": 20}))
    before = manifest.model_copy(deep=True)
    made, again = pretraining(manifest), pretraining(manifest)
    assert made == again
    assert manifest == before
    assert (made.name, made.seed, made.encoder, made.pretrain) == (
        "small-pretrain",
        manifest.seed,
        manifest.encoder,
        None,
    )
    assert (made.train.steps, made.train.lr, made.train.batch_size, made.train.warmup) == (
        4,
        1e-3,
        8,
        0.1,
    )
    assert {name: table.trained for name, table in made.tasks.items()} == {
        "mood": False,
        "masked-mood": True,
    }
    masked = made.tasks["masked-mood"]
    assert (masked.use, masked.options, masked.limit) == ("masked-tokens", {"of": "mood"}, 20)
    assert masked.head is not None
    assert masked.head.options == {"share": 0.3, "mask": 0.8, "random": 0.1}


def test_the_manifest_of_each_stage_is_whole_and_reads_back(desk: Any, tmp_path: Path) -> None:
    plan = compose_file(desk.manifest(pretrain=PRETRAIN), [], Plugins.discover())
    for stage, folder in stages(plan, tmp_path / "out"):
        (tmp_path / "copy.toml").write_text(write_manifest(stage.manifest))
        back = read_manifest(tmp_path / "copy.toml")
        assert back == stage.manifest
        assert (
            compose_file(tmp_path / "copy.toml", [], Plugins.discover()).manifest == stage.manifest
        )
        assert folder.name == {"small-pretrain": "out-pretrain", "small": "out"}[back.name]


def test_only_training_texts_are_learned_from_and_validation_is_scored(desk: Any) -> None:
    runs = desk.train_stages(desk.manifest(pretrain=PRETRAIN), "a")
    assert runs[0].environment["sizes"] == {"masked-mood": 48}
    assert runs[0].scores()[0]["tasks"]["masked-mood"]["rows"] == 24
    other = desk.table("mood", 48, ["joy", "anger", "sadness"], seed=1)
    lines = other.read_text().splitlines()
    other.write_text(
        "\n".join(
            [line.replace("home", "cat") if not line.endswith("train") else line for line in lines]
        )
        + "\n"
    )
    again = desk.train_stages(desk.manifest(pretrain=PRETRAIN), "b")
    one, two = (weights(found[0], "last") for found in (runs, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_pretraining_reads_other_tasks_and_bases_of_derived_ones(
    desk: Any, install: Callable[..., None]
) -> None:
    tasks = {"words": {"use": "masked-tokens", "options": {"of": "topics"}}}
    table = {
        "on": ["suicide-depression", "words"],
        "sources": {"suicide-depression": "posts.csv"},
        "steps": 2,
    }
    made = pretraining(read_manifest(desk.manifest(tasks=tasks, pretrain=table)))
    assert made.tasks["suicide-depression"].source == "posts.csv"
    assert [name for name, table in made.tasks.items() if not table.trained] == [
        "suicide-depression",
        "words",
        "topics",
    ]
    run = desk.train_stages(
        desk.manifest(tasks=tasks, pretrain={**PRETRAIN, "on": ["words", "mood"]}), "run"
    )[0]
    assert run.environment["sizes"] == {"masked-words": 36, "masked-mood": 48}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"on": ["moood"]}, ["pretrain.*'moood' is not installed"]),
        ({"on": []}, ["pretrain.on"]),
        (
            {"on": ["mood"], "sources": {"mod": "x.csv"}},
            ["pretrain.sources.*'mod' is not among `on`.*did you mean 'mood'"],
        ),
        ({"on": ["mood"], "steps": 3, "epochs": 1.0}, ["pretrain.*one length"]),
        ({"on": ["mood"], "mask": 0.9, "random": 0.2}, ["pretrain.*sum to more than 1"]),
        (
            {"on": ["mood"], "share": 1.5, "step": 4},
            ["pretrain.share", "pretrain.step.*did you mean 'steps'"],
        ),
        ({"on": ["mood"], "head_lr": 0.0}, ["pretrain.head_lr.*greater than 0"]),
        ({"on": ["topics"], "sources": {"topics": "nowhere.csv"}}, ["pretrain.*nowhere.csv"]),
    ],
)
def test_a_problem_of_pretrain_comes_once_with_its_line(
    desk: Any, table: dict[str, Any], said: list[str]
) -> None:
    manifest = desk.manifest(pretrain=table)
    with pytest.raises(EmomtlError) as caught:
        compose_file(manifest, [], Plugins.discover())
    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == len(said)
    for problem, pattern in zip(sorted(found), sorted(said), strict=True):
        assert re.search(pattern, problem), problem
        assert "small.toml:" in problem


def test_a_wrong_task_is_no_second_problem_of_pretraining(desk: Any) -> None:
    with pytest.raises(EmomtlError) as caught:
        compose_file(
            desk.manifest(tasks={"mood": {"source": "nowhere.csv"}}, pretrain=PRETRAIN),
            [],
            Plugins.discover(),
        )
    assert {problem.place for problem in caught.value.problems} == {"tasks.mood.source"}


def test_a_plan_of_two_runs_is_not_started_as_one(desk: Any) -> None:
    with pytest.raises(ValueError, match="is several runs"):
        desk.begin(desk.manifest(pretrain=PRETRAIN))


def test_a_name_that_pretraining_would_take_twice_is_refused(desk: Any) -> None:
    masked = {"use": "masked-tokens", "options": {"of": "mood"}}
    with pytest.raises(EmomtlError, match="there is a task 'masked-mood' already"):
        pretraining(
            read_manifest(
                desk.manifest(
                    tasks={"masked-mood": masked}, pretrain={"on": ["mood", "masked-mood"]}
                )
            )
        )


# -- two runs from one command
# ------------------------------------------------------------------------------------------


def test_train_makes_both_runs_one_after_another(desk: Any, cli: Any) -> None:
    said = cli("train", desk.manifest(pretrain=PRETRAIN), "--out", desk.folder / "main")
    assert said.code == 0, said.err
    assert "masked-mood" in said.out
    first, second = Run.open(desk.folder / "main-pretrain"), Run.open(desk.folder / "main")
    assert second.manifest.pretrain is None
    assert second.manifest.start is not None
    checkpoint = open_checkpoint(find_checkpoint(first, "best").resolve())
    assert second.environment["start"] == {
        "run": str(first.folder),
        "name": "small-pretrain",
        "checkpoint": checkpoint.path.name,
        "sha256": checkpoint.files["model.safetensors"][0],
        "heads": [],
    }
    before = (first.folder / "metrics.jsonl").read_bytes()
    again = cli("train", desk.folder / "small.toml", "--out", desk.folder / "main", "--resume")
    assert again.code == 0, again.err
    assert "masked-mood" not in again.out
    assert (first.folder / "metrics.jsonl").read_bytes() == before
    scores = json.loads(cli("eval", second.folder, "--json").out)
    assert set(scores["tasks"]) == {"mood", "topics"}


def test_json_is_of_the_last_stage_and_nothing_else(desk: Any, cli: Any) -> None:
    said = cli("train", desk.manifest(pretrain=PRETRAIN), "--out", desk.folder / "main", "--json")
    assert json.loads(said.out)["run"] == "small"


def test_check_tells_of_both_stages(desk: Any, cli: Any) -> None:
    manifest = desk.manifest(pretrain=PRETRAIN)
    found = json.loads(cli("check", manifest, "--json", "--no-step").out)
    assert found["pretrain"]["tasks"]["masked-mood"]["updates"] == found["pretrain"]["steps"] == 4
    assert set(found["tasks"]) == {"mood", "topics"}
    said = cli("check", manifest)
    assert said.code == 0, said.err
    assert "small-pretrain: about 4 steps" in said.out
    assert "small: about 6 steps" in said.out


def test_a_start_takes_the_weights_and_fresh_heads(desk: Any) -> None:
    whole = compose_file(desk.manifest(pretrain=PRETRAIN), [], Plugins.discover())
    (plan, folder), (after, out) = stages(whole, desk.folder / "main")
    train(start(plan, folder, Display()))
    session = start(after, out, Display())
    session.run.close()
    begun, kept = session.model.state_dict(), weights(folder)
    encoder = [name for name in begun if name.startswith("encoder.")]
    assert len(encoder) > 20
    assert all(torch.equal(begun[name], kept[name]) for name in encoder)
    plain = desk.begin(desk.manifest("plain"), "plain")
    plain.run.close()
    assert not all(torch.equal(begun[name], plain.model.state_dict()[name]) for name in encoder)
    heads = [name for name in begun if name.startswith("heads.")]
    assert all(torch.equal(begun[name], plain.model.state_dict()[name]) for name in heads)


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("step", [2, 4])
def test_a_run_interrupted_in_either_stage_resumes_exactly(
    desk: Any, contents: Any, stopped_in_a_stage: Any, stage: int, step: int
) -> None:
    manifest = desk.manifest(pretrain=PRETRAIN)
    unbroken = stopped_in_a_stage(manifest, step, ("small-pretrain", "small")[stage])
    assert (desk.folder / "run").exists() == (stage == 1)
    went_on = desk.train_stages(manifest, "run", again=True)
    assert len(went_on) == 2 - stage
    assert [contents(desk.folder / name, "last") for name in ("run-pretrain", "run")] == unbroken


def test_resume_without_any_run_says_so(desk: Any, cli: Any) -> None:
    said = cli("train", desk.manifest(pretrain=PRETRAIN), "--out", desk.folder / "main", "--resume")
    assert said.code == 1
    assert "no run here" in said.err


# -- [start]
# ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def first(desk: Any) -> Run:
    """A run to start from."""
    run: Run = desk.train(desk.manifest("first", train={"steps": 4}), "first")
    return run


def test_heads_are_taken_over_where_name_kind_outputs_agree(desk: Any, first: Run) -> None:
    tasks = {"mood": {"head": {"use": "multi-label"}}}
    session = desk.begin(
        desk.manifest(tasks=tasks, start={"run": "first", "checkpoint": "last", "heads": True})
    )
    session.run.close()
    begun, kept = session.model.state_dict(), weights(first, "last")
    assert all(
        torch.equal(begun[name], kept[name]) for name in begun if not name.startswith("heads.mood")
    )
    assert not torch.equal(begun["heads.mood.1.weight"], kept["heads.mood.1.weight"])
    assert session.run.environment["start"]["heads"] == ["topics"]


def test_a_step_that_was_kept_can_be_started_from(desk: Any, first: Run) -> None:
    step = find_checkpoint(first, "best").resolve().name
    session = desk.begin(
        desk.manifest(start={"run": "first", "checkpoint": int(step.split("-")[1])})
    )
    session.run.close()
    assert session.run.environment["start"]["checkpoint"] == step


def test_a_started_run_no_longer_needs_the_other(
    desk: Any, contents: Any, cli: Any, first: Run
) -> None:

    manifest = desk.manifest(start={"run": "first", "heads": True})
    unbroken = contents(desk.train(manifest, "unbroken"))
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "broken", plugins=desk.stopping(step=2))
    shutil.rmtree(first.folder)
    record = Run.open(desk.folder / "broken").environment["start"]
    run = desk.train(manifest, "broken", resume=True, allow_changed=["train.log_every"])
    assert contents(run) == unbroken
    assert Run.open(run.folder).environment["start"] == record
    assert cli("eval", run.folder, "--split", "test").code == 0


def test_special_tokens_get_rows_beside_those_of_the_other(
    desk: Any, first: Run, install: Callable[..., None]
) -> None:
    source = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl

def read(row):
    return Example(row["text"], row["label"])

@hookimpl
def emomtl_tasks():
    layout = Files("*", split_column="part")
    return [Task("named", layout, read, Taxonomy(["joy", "anger", "sadness"]), head=SingleLabel(), special_tokens=("[NAME]",))]
"""
    install("emomtl-named", {"emomtl_named": source}, {"named": "emomtl_named"})
    tasks = {"mood": None, "topics": None, "named": {"source": "mood.csv"}}
    run = desk.train(desk.manifest(tasks=tasks, start={"run": "first"}))
    word, before = "encoder.embeddings.word_embeddings.weight", weights(first)
    assert len(weights(run)[word]) == len(before[word]) + 1
    other = desk.train(desk.manifest(start={"run": "run"}), "third")
    assert len(weights(other)[word]) == len(before[word]) + 1


def test_another_encoder_is_one_error_and_leaves_no_run(desk: Any, first: Run) -> None:
    shutil.copytree(desk.encoder, desk.folder / "other")
    with pytest.raises(
        EmomtlError,
        match=r"encoder\.use: is 'other', and the run that \[start\] names was trained with",
    ) as caught:
        desk.begin(desk.manifest(encoder={"use": "other"}, start={"run": "first"}))
    assert len(caught.value.problems) == 1
    assert not (desk.folder / "run").exists()


def test_the_same_encoder_may_be_named_by_another_path(desk: Any, first: Run) -> None:
    (desk.folder / "link").symlink_to(desk.encoder)
    session = desk.begin(desk.manifest(encoder={"use": "link"}, start={"run": "first"}))
    session.run.close()


def test_a_pooler_that_was_not_trained_is_one_error(desk: Any, first: Run) -> None:
    with pytest.raises(
        EmomtlError, match=r"start\.run: .*does not fit this encoder: .*pooler"
    ) as caught:
        desk.begin(desk.manifest(encoder={"pooling": "pooler"}, start={"run": "first"}))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"run": "nowhere"}, r"start\.run: .*nowhere.*no run here"),
        ({"run": "first", "checkpoint": 77}, r"start\.checkpoint: .*no checkpoint '77'.*known"),
    ],
)
def test_a_start_that_is_not_there_is_one_error(
    desk: Any, first: Run, table: dict[str, Any], said: str
) -> None:
    with pytest.raises(EmomtlError, match=said) as caught:
        desk.begin(desk.manifest(start=table))
    assert len(caught.value.problems) == 1
    assert not (desk.folder / "run").exists()


def test_a_damaged_checkpoint_is_not_started_from(desk: Any, first: Run) -> None:
    path = find_checkpoint(first, "best").resolve() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(EmomtlError, match="its SHA-256 is not the one that was written"):
        desk.begin(desk.manifest(start={"run": "first"}))


def test_pretraining_itself_may_start_from_a_run(desk: Any, first: Run) -> None:
    runs = desk.train_stages(desk.manifest(start={"run": "first"}, pretrain=PRETRAIN), "main")
    assert [run.environment["start"]["name"] for run in runs] == ["first", "small-pretrain"]


# -- tasks that are not trained, and chains of derived ones
# ----------------------------------------------------------------


def test_an_untrained_task_needs_no_rows(desk: Any, cli: Any) -> None:
    tasks = {
        "mood": {"trained": False},
        "words": {"use": "masked-tokens", "options": {"of": "mood"}},
    }
    run = desk.train(desk.manifest(tasks=tasks))
    assert set(run.environment["sizes"]) == {"topics", "words"}
    assert "mood" in run.manifest.tasks
    assert cli("eval", run.folder, "--split", "test").code == 0
    assert "mood" not in cli("report", run.folder, "--json").out.replace("masked-mood", "").replace(
        '"of": "mood"', ""
    )


def test_a_manifest_in_which_nothing_is_trained_is_refused(desk: Any) -> None:
    with pytest.raises(EmomtlError, match="none is trained"):
        compose_file(
            desk.manifest(tasks={"mood": {"trained": False}, "topics": {"trained": False}}),
            [],
            Plugins.discover(),
        )


def test_the_schema_knows_the_new_tables() -> None:
    schema = Manifest.model_json_schema()
    assert {"start", "pretrain"} <= set(schema["properties"])
    assert set(schema["required"]) == {"name", "encoder", "tasks"}
