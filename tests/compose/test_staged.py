"""`[[stages]]`: several runs from one manifest, each starting from the one before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl.compose import compose_file, plans, stage_manifests, stages, updates_over_stages
from emomtl.errors import EmomtlError
from emomtl.manifest import read_manifest, write_manifest
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train import Display, start, train

SEVERAL = {"name": "several", "train": {"steps": 6}}
ALONE = {"name": "alone", "tasks": ["mood"], "train": {"steps": 4, "lr": 1e-4}}
BOTH = [SEVERAL, ALONE]
PRETRAIN = {"on": ["mood"], "steps": 4, "lr": 1e-3, "batch_size": 8}


def weights(folder: Path, which: str = "best") -> dict[str, torch.Tensor]:
    return open_checkpoint(find_checkpoint(Run.open(folder), which).resolve()).tensors("model")


def planned(desk: Any, manifest: Path) -> Any:
    return compose_file(manifest, [], Plugins.discover())


# -- from one manifest to several
# ---------------------------------------------------------------------------------------


def test_a_stage_is_the_manifest_with_its_changes(desk: Any) -> None:
    more = {"sampler": {"use": "uniform"}, "weighting": {"use": "equal"}, "eval": {"patience": 2}}
    path = desk.manifest(
        stages=[SEVERAL, ALONE | more], start={"run": "x"}, eval={"select": "topics/macro_f1"}
    )
    manifest = read_manifest(path)
    before = manifest.model_copy(deep=True)
    first, second = stage_manifests(manifest)
    assert manifest == before
    assert (first.name, second.name) == ("small-several", "small")
    assert list(first.tasks) == ["mood", "topics"]
    assert list(second.tasks) == ["mood"]
    assert (first.train.lr, second.train.lr) == (1e-3, 1e-4)
    assert (first.train.steps, second.train.steps) == (6, 4)
    assert first.train.log_every == second.train.log_every == 2
    assert (first.sampler.use, second.sampler.use) == ("annealed", "uniform")
    assert (first.weighting.use, second.weighting.use) == ("uncertainty", "equal")
    assert (first.eval.every, first.eval.patience) == (3, 0)
    assert (second.eval.every, second.eval.patience) == (3, 2)
    assert (first.eval.select, second.eval.select) == ("topics/macro_f1", None)
    assert first.start is not None
    assert second.start is None
    assert first.stages == second.stages == ()


def test_the_manifest_of_each_stage_is_whole_and_reads_back(desk: Any, tmp_path: Path) -> None:
    plan = planned(desk, desk.manifest(stages=BOTH, pretrain=PRETRAIN))
    every = stages(plan, tmp_path / "out")
    assert [folder.name for _, folder in every] == ["out-pretrain", "out-several", "out"]
    assert [one.manifest.name for one in plans(plan)] == [
        "small-several-pretrain",
        "small-several",
        "small",
    ]
    for stage, _ in every:
        (tmp_path / "copy.toml").write_text(write_manifest(stage.manifest))
        assert read_manifest(tmp_path / "copy.toml") == stage.manifest
    starts = [stage.manifest.start for stage, _ in every]
    assert starts[0] is None
    assert [(one.run, one.heads) for one in starts[1:] if one] == [
        (str(tmp_path / "out-pretrain"), False),
        (str(tmp_path / "out-several"), True),
    ]


def test_pretraining_written_as_a_stage_gives_the_weights_of_pretrain(desk: Any) -> None:
    tasks = {"masked-mood": {"use": "masked-tokens", "options": {"of": "mood"}}}
    train_table = {"steps": 4, "lr": 1e-3, "head_lr": 1e-3, "batch_size": 8, "warmup": 0.1}
    words = {"name": "words", "tasks": ["masked-mood"], "train": train_table}
    words |= {
        "sampler": {"use": "proportional"},
        "weighting": {"use": "equal"},
        "eval": {"every": 3},
    }
    main = {"name": "main", "tasks": ["mood", "topics"], "start": {"heads": False}}
    by_stages = desk.train_stages(desk.manifest("a", tasks=tasks, stages=[words, main]), "a")
    by_table = desk.train_stages(desk.manifest("b", pretrain=PRETRAIN, eval={"every": 3}), "b")
    one, two = (weights(runs[0].folder, "last") for runs in (by_stages, by_table))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("key", "total", "parts"), [("steps", 11, [8, 3]), ("target_updates", 375, [281, 94])]
)
def test_shares_divide_the_length_and_add_up_to_it(
    desk: Any, key: str, total: int, parts: list[int]
) -> None:
    length = {"steps": None, key: total} | ({"target": "mood"} if key == "target_updates" else {})
    table = [
        {"name": "several", "share": 0.75},
        {"name": "alone", "share": 0.25, "tasks": ["mood"]},
    ]
    made = stage_manifests(read_manifest(desk.manifest(train=length, stages=table)))
    assert [getattr(one.train, key) for one in made] == parts
    assert sum(parts) == total
    epochs = stage_manifests(
        read_manifest(desk.manifest(train={"steps": None, "epochs": 4.0}, stages=table))
    )
    assert [one.train.epochs for one in epochs] == [3.0, 1.0]


def test_updates_are_counted_over_stages_of_one_length(desk: Any) -> None:
    length = {"steps": None, "target": "mood", "target_updates": 12}
    shares = [
        {"name": "several", "share": 0.75},
        {"name": "alone", "share": 0.25, "tasks": ["mood"]},
    ]
    other = {"name": "other", "tasks": ["topics"], "train": {"steps": 5}}
    assert (
        updates_over_stages(
            planned(desk, desk.manifest(train=length, stages=[other, *shares])), "mood"
        )
        == 12
    )
    assert (
        updates_over_stages(
            planned(desk, desk.manifest(train=length, stages=[{"name": "a"}, {"name": "b"}])),
            "mood",
        )
        == 24
    )
    assert (
        updates_over_stages(
            planned(desk, desk.manifest(train=length, stages=[{"name": "a"}, ALONE])), "mood"
        )
        is None
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            [ALONE | {"tasks": ["moood"]}],
            r"stages\[0\]\.tasks: 'moood' is no task of this manifest.*did you mean 'mood'",
        ),
        ([ALONE, ALONE], r"stages\[1\]\.name: two stages are called 'alone'"),
        (
            [SEVERAL, ALONE | {"share": 0.5}],
            r"stages\[1\]\.share: it has a share of .*and `steps` of its own",
        ),
        (
            [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}],
            r"stages\[1\]\.share: the shares are 0\.5 \+ 0\.4 = 0\.9",
        ),
        (
            [SEVERAL, ALONE | {"sampler": {"use": "unifrom"}}],
            r"stages\[1\]\.sampler\.use.*'unifrom'.*did you mean 'uniform'",
        ),
        (
            [SEVERAL, ALONE | {"changes": [{"use": "lora", "rank": 2}]}],
            r"stages\[1\]\.changes\[0\]\.rank",
        ),
        (
            [SEVERAL, ALONE | {"eval": {"select": "topics/macro_f1"}}],
            r"stages\[1\]\.eval\.select.*'topics' is no task",
        ),
        ([SEVERAL, ALONE | {"trian": {}}], r"stages\[1\]\.trian.*did you mean 'train'"),
        (
            [SEVERAL | {"name": "pretrain"}, ALONE],
            r"stages\[0\]\.name: \[pretrain\] makes a stage of this name",
        ),
    ],
)
def test_a_problem_of_a_stage_comes_once_with_its_line(
    desk: Any, table: list[Any], said: str
) -> None:
    manifest = desk.manifest(stages=table, pretrain=PRETRAIN)
    with pytest.raises(EmomtlError, match=said) as caught:
        planned(desk, manifest)
    assert len(caught.value.problems) == 1
    assert "small.toml:" in str(caught.value.problems[0])


def test_a_wrong_task_is_one_problem_for_all_stages(desk: Any) -> None:
    with pytest.raises(EmomtlError) as caught:
        planned(desk, desk.manifest(tasks={"mood": {"source": "nowhere.csv"}}, stages=BOTH))
    assert [problem.place for problem in caught.value.problems] == ["tasks.mood.source"]


def test_a_stage_without_the_target_needs_its_own_length(desk: Any) -> None:
    length = {"steps": None, "target": "mood", "target_updates": 12}
    with pytest.raises(
        EmomtlError, match=r"stages\[0\]: it does not train 'mood', whose updates are the length"
    ):
        planned(
            desk,
            desk.manifest(
                train=length, stages=[{"name": "other", "tasks": ["topics"]}, {"name": "b"}]
            ),
        )


# -- the runs
# -----------------------------------------------------------------------------------------------------------


def test_each_stage_starts_from_the_best_of_the_previous(desk: Any, cli: Any) -> None:
    said = cli("train", desk.manifest(stages=BOTH), "--out", desk.folder / "main")
    assert said.code == 0, said.err
    first, second = Run.open(desk.folder / "main-several"), Run.open(desk.folder / "main")
    assert set(first.environment["sizes"]) == {"mood", "topics"}
    assert set(second.environment["sizes"]) == {"mood"}
    record = second.environment["start"]
    assert (record["name"], record["heads"]) == ("small-several", ["mood"])
    assert record["checkpoint"] == find_checkpoint(first, "best").resolve().name
    rates = [event["rate"] for event in second.events() if event["event"] == "step"]
    assert rates[-1] < rates[0] <= 1.0  # the schedule of a stage is its own
    assert set(json.loads(cli("eval", second.folder, "--json").out)["tasks"]) == {"mood"}
    assert cli("report", second.folder).code == 0
    again = cli("train", desk.folder / "small.toml", "--out", desk.folder / "main", "--resume")
    assert again.code == 0, again.err


def test_a_stage_begins_with_the_weights_of_the_previous(desk: Any) -> None:
    table = [SEVERAL, ALONE | {"start": {"checkpoint": "last"}}]
    (plan, folder), (after, out) = stages(
        planned(desk, desk.manifest(stages=table)), desk.folder / "main"
    )
    train(start(plan, folder, Display()))
    session = start(after, out, Display())
    session.run.close()
    kept = weights(folder, "last")
    begun = session.model.state_dict()
    assert all(torch.equal(begun[name], kept[name]) for name in begun)
    assert {name for name in kept if name not in begun} == {
        name for name in kept if name.startswith("heads.topics")
    }


def test_stages_may_change_the_encoder_in_other_ways(desk: Any) -> None:
    pals = {"use": "pals", "rank": 6, "heads": 3}
    runs = desk.train_stages(
        desk.manifest(encoder={"changes": [pals]}, stages=[SEVERAL, ALONE | {"changes": []}]), "m"
    )
    assert runs[1].environment["start"]["changes"] == {"pals": "left behind"}
    assert runs[1].manifest.encoder.changes == ()


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("step", [2, 4])
def test_a_run_stopped_in_any_stage_resumes_exactly(
    desk: Any, contents: Any, stopped_in_a_stage: Any, stage: int, step: int
) -> None:
    manifest = desk.manifest(stages=BOTH)
    unbroken = stopped_in_a_stage(manifest, step, ("small-several", "small")[stage])
    went_on = desk.train_stages(manifest, "run", again=True)
    assert len(went_on) == 2 - stage
    assert [contents(desk.folder / name, "last") for name in ("run-several", "run")] == unbroken


def test_a_run_stopped_between_stages_goes_on_with_the_next(desk: Any, contents: Any) -> None:
    manifest = desk.manifest(stages=BOTH)
    unbroken = contents(desk.train_stages(manifest, "unbroken")[1], "last")
    plan, folder = stages(planned(desk, manifest), desk.folder / "run")[0]
    train(start(plan, folder, Display()))
    desk.train_stages(manifest, "run", again=True)
    assert contents(desk.folder / "run", "last")["tensors"] == unbroken["tensors"]


def test_check_tells_of_all_stages_and_adds_up_updates(desk: Any, cli: Any) -> None:
    manifest = desk.manifest(stages=BOTH, sampler={"use": "uniform", "per_step": "all"})
    found = json.loads(cli("check", manifest, "--json", "--no-step").out)
    assert [one["stage"] for one in found["stages"]] == ["several"]
    assert set(found["stages"][0]["tasks"]) == {"mood", "topics"}
    assert set(found["tasks"]) == {"mood"}
    said = cli("check", manifest)
    assert said.code == 0, said.err
    assert "small-several: about 6 steps" in said.out
    assert "small: about 4 steps" in said.out
    assert "updates over all stages: mood 10, topics 6" in said.err
    other = desk.manifest(
        "other", train={"steps": 10}, sampler={"use": "uniform", "per_step": "all"}
    )
    against = json.loads(cli("check", manifest, "--json", "--no-step", "--against", other).out)[
        "against"
    ]
    assert against["updates"] == [10, 10]
