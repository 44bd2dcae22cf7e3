"""Several processes that train one run together train what one process trains, end together, and go
on as more or fewer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emomtl.errors import EmomtlError
from emomtl.inference.trained import open_trained
from emomtl.model.parallel.ranks import ALONE, Ranks, process_group, ranks_from_environment
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint

SERVER = Path(__file__).with_name("rank_server.py")

LOSSES, WEIGHTS = 2e-6, 2e-5
"""How far two processes may be from one after the steps of a test: sums in another order, in
float32.
"""


@dataclass
class Together:
    """Starts the command line in several processes and says how they ended."""

    server: subprocess.Popen[str]
    folder: Path

    def _ask(self, line: str) -> Any:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, world: int, *arguments: object, **environment: str) -> list[int]:
        """The processes' ids; `environment` has variables that the launcher sets too."""
        job: dict[str, Any] = {
            "world": world,
            "arguments": [str(argument) for argument in arguments],
        }
        job |= {"folder": str(self.folder), "environment": environment}
        pids: list[int] = self._ask(json.dumps(job))
        return pids

    def end(self) -> tuple[list[int], list[str]]:
        """Exit codes and stderr by process, once all have ended."""
        codes = self._ask("end")
        return codes, [(self.folder / f"err-{rank}").read_text() for rank in range(len(codes))]

    def train(self, world: int, manifest: Path, out: Path, *more: object) -> Run:
        """Train to the end and give the run."""
        self.start(world, "train", manifest, "--out", out, *more)
        codes, err = self.end()
        assert codes == [0] * world, "\n".join(err)
        assert not any(err[1:]), err
        return Run.open(out)


@pytest.fixture(scope="module")
def server(
    make_desk: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    desk = make_desk(tmp_path_factory.mktemp("first"))
    command = [
        sys.executable,
        str(SERVER),
        str(desk.manifest(train={"steps": 1})),
        str(desk.folder / "run"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.communicate(timeout=60)


@pytest.fixture
def together(server: subprocess.Popen[str], tmp_path: Path) -> Together:
    return Together(server, tmp_path)


def steps(run: Run) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] == "step"]


def alike(one: Run, several: Run) -> None:
    """The same draws, and losses, weights and optimiser that differ by rounding alone."""
    assert len(steps(one)) == len(steps(several)) > 0
    for mine, theirs in zip(steps(one), steps(several), strict=True):
        assert mine["counts"] == theirs["counts"]
        assert mine["losses"] == pytest.approx(theirs["losses"], abs=LOSSES)
        assert mine["weights"] == pytest.approx(theirs["weights"], abs=1e-4)
    checkpoints = [open_checkpoint(find_checkpoint(run, "last")) for run in (one, several)]
    for part in (
        "model",
        "optimizer",
        "weighting",
        *(["ema"] if checkpoints[0].has("ema") else []),
    ):
        here, there = (checkpoint.tensors(part) for checkpoint in checkpoints)
        assert here.keys() == there.keys()
        for name, tensor in here.items():
            torch.testing.assert_close(
                there[name], tensor, atol=WEIGHTS, rtol=1e-3, msg=f"{part} {name}"
            )


TABLE = {"use": "table", "options": {"split": "part"}}
MULTI = {
    **TABLE,
    "options": {**TABLE["options"], "empty": "unknown"},
    "source": "topics.csv",
    "head": {"use": "multi-label", "dropout": 0.0},
}
STILL: dict[str, Any] = {
    "encoder": {"dropout": 0.0},
    "tasks": {"mood": {"head": {"dropout": 0.0}}, "topics": {"head": {"dropout": 0.0}}},
    "train": {"steps": 24, "batch_size": 7, "log_every": 1},
    "eval": {"every": 12},
    "checkpoint": None,
}
"""Without dropout: each process draws its own."""

VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one task a step, uncertainty": (2, {}),
    "every task every step, dwa, cut in two": (
        2,
        {
            "sampler": {"per_step": "all"},
            "weighting": {"use": "dwa", "window": 4},
            "train": {"accumulate": 2},
        },
    ),
    "three processes, some without a text of a task": (
        3,
        {
            "tasks": {"rare": MULTI},
            "sampler": {
                "use": "explicit",
                "per_step": "all",
                "shares": {"mood": 0.6, "topics": 0.37, "rare": 0.03},
            },
            "weighting": {"use": "classes-over-size"},
            "train": {"batch_size": 5},
        },
    ),
    "texts compared with each other, gradients mixed": (
        2,
        {
            "sampler": {"use": "uniform", "per_step": "all"},
            "weighting": {"use": "pcgrad"},
            "objectives": {
                "contrast": {"use": "supervised-contrastive", "task": "mood", "projection": 8}
            },
            "train": {"steps": 12},
        },
    ),
    "hidden words, and a weighting that looks again": (
        2,
        {
            "tasks": {
                "words": {
                    "use": "masked-tokens",
                    "options": {"of": "mood"},
                    "head": {"share": 0.3, "dropout": 0.0},
                }
            },
            "sampler": {"use": "uniform", "per_step": "all"},
            "weighting": {"use": "famo"},
            "train": {"steps": 12, "accumulate": 2},
        },
    ),
    "an encoder pass a task, a lexicon beside it, two tasks of one corpus": (
        2,
        {
            "encoder": {"changes": [{"use": "pals", "rank": 8, "heads": 2}]},
            "features": {"lexicon": {"of": "mood"}},
            "tasks": {"second": MULTI},
            "sampler": {
                "use": "explicit",
                "per_step": "all",
                "shares": {"mood": 0.4, "topics": 0.4, "second": 0.2},
            },
            "train": {"steps": 12},
        },
    ),
    "labels in balance, a second pass, layers computed twice, lengths of its own, a task that stops": (
        2,
        {
            "encoder": {"checkpoint_layers": True},
            "tasks": {
                "mood": {"balance": 1.0, "max_tokens": 9, "weight": {"from": 1.0, "to": 0.2}},
                "topics": {"patience": 1},
            },
            "sampler": {"use": "uniform", "per_step": "all"},
            "objectives": {"steady": {"use": "r-drop", "task": "mood"}},
            "eval": {"every": 2},
        },
    ),
    "an average of the weights": (2, {"train": {"steps": 12, "ema": 0.8}}),
    "gradnorm": (
        2,
        {"sampler": {"use": "uniform", "per_step": "all"}, "weighting": {"use": "gradnorm"}},
    ),
}


def laid(*layers: dict[str, Any]) -> dict[str, Any]:
    """Tables merged two levels deep; None stays."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            merged[key] = (
                laid(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
            )
    return merged


@pytest.mark.parametrize("variant", VARIANTS)
def test_several_processes_train_what_one_trains(
    desk: Any, together: Together, variant: str
) -> None:
    world, changes = VARIANTS[variant]
    (desk.folder / "topics.csv").write_text(
        "\n".join(
            line.replace(",sadness,", ",,") if number % 3 == 0 else line
            for number, line in enumerate((desk.folder / "topics.csv").read_text().splitlines())
        )
    )
    unlabelled = {"tasks": {"topics": {"options": {"empty": "unknown"}}}}
    manifest = desk.manifest(**laid(STILL, unlabelled, changes))
    alike(desk.train(manifest, "one"), together.train(world, manifest, desk.folder / "several"))


@pytest.mark.parametrize("weighting", ["uncertainty", "geometric-mean"])
def test_processes_and_micro_batches_know_equally_much_together(
    desk: Any, together: Together, weighting: str
) -> None:
    """Most rows of a task have no label, so that pieces differ, and some steps have none of it in
    any process.
    """
    lines = [line.split(",") for line in (desk.folder / "mood.csv").read_text().splitlines()[1:]]
    rows = [
        {"text": text, "label": label if part != "train" or number % 6 == 0 else None, "part": part}
        for number, (text, label, part) in enumerate(lines)
    ]
    (desk.folder / "mood.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    changes = {
        "tasks": {"mood": {"source": "mood.jsonl", "options": {"empty": "unknown"}}},
        "sampler": {"use": "uniform", "per_step": "all"},
        "weighting": {"use": weighting},
        "train": {"steps": 12, "batch_size": 4},
    }
    one = desk.train(desk.manifest("one", **laid(STILL, changes)), "one")
    cut = desk.manifest("several", **laid(STILL, changes, {"train": {"accumulate": 2}}))
    several = together.train(2, cut, desk.folder / "several")
    losses = [event["losses"] for event in steps(one)]
    assert 0 < sum("mood" not in found for found in losses) < 12
    assert [set(event["losses"]) for event in steps(several)] == [set(found) for found in losses]
    alike(one, several)


def test_scores_of_two_processes_are_those_of_one_exactly(desk: Any, together: Together) -> None:
    run = together.train(
        2, desk.manifest(eval={"batch_size": 5}, train={"steps": 6}), desk.folder / "run"
    )
    kept = {entry["which"]: entry["tasks"] for entry in run.scores()}
    assert set(kept) == {"last", "best"}
    for which, tasks in kept.items():
        trained = open_trained(run.folder, which, Plugins.discover())
        assert {
            name: one.as_json()
            for name, one in trained.evaluate("validation", keep_predictions=False).scores.items()
        } == tasks


ONCE = """
import time
from emomtl import hookimpl

@hookimpl
def emomtl_stepped(run, step):
    if step == 3 and not (run.folder / "once").exists():
        (run.folder / "once").touch()
        {what}
"""


def once(desk: Any, what: str) -> list[str]:
    """A plugin that does something in the third step of a run, at the first time."""
    (desk.folder / "once.py").write_text(ONCE.format(what=what))
    return ["./once.py"]


def signalled(
    desk: Any, together: Together, manifest: Path, rank: int, number: int
) -> tuple[list[int], list[str]]:
    """Exit codes and stderr of a run of two processes of which one is sent a signal in its third
    step.
    """
    pids = together.start(2, "train", manifest, "--out", desk.folder / "run")
    until = time.monotonic() + 60
    while not (desk.folder / "run" / "once").exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(pids[rank], number)
    return together.end()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_with_one_message_and_a_checkpoint_to_go_on_from(
    desk: Any, together: Together, rank: int
) -> None:
    changes = {
        "train": {"steps": 6},
        "checkpoint": {"every": 1},
        "plugins": once(desk, "time.sleep(1.5)"),
    }
    manifest, folder = desk.manifest(**laid(STILL, changes)), desk.folder / "run"
    codes, err = signalled(desk, together, manifest, rank, signal.SIGKILL)
    assert codes[rank] == -signal.SIGKILL
    assert codes[1 - rank] == 1
    said = [line for text in err for line in text.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, err
    assert said[0].startswith(
        "error: processes: another process of the run has ended, or cannot be reached: "
    )
    assert said[0].endswith("the last checkpoint is good: start all processes again with --resume)")
    assert "Traceback" not in "".join(err)
    saved = 3 if rank == 1 else 2
    assert [path.name for path in (folder / "checkpoints").glob("step-*")] == [
        f"step-0000000{saved}"
    ]
    if rank == 1:  # two, then one
        alike(desk.train(manifest, "one"), desk.train(manifest, "run", resume=True))
    else:  # two, then three
        together.start(3, "train", manifest, "--out", folder, "--resume")
        codes, err = together.end()
        assert codes == [0, 0, 0], err
        assert (
            "note: it goes on in 3 process(es), and was trained in 2: dropout draws other numbers"
            in err[0]
        )
        alike(desk.train(manifest, "one"), Run.open(folder))


def test_a_run_of_one_process_goes_on_in_two(desk: Any, together: Together) -> None:
    changes = {
        "train": {"steps": 6},
        "checkpoint": {"every": 1},
        "plugins": once(desk, "raise RuntimeError('enough')"),
    }
    manifest = desk.manifest(**laid(STILL, changes))
    with pytest.raises(EmomtlError, match="enough"):
        desk.train(manifest, "begun")
    several = together.train(2, manifest, desk.folder / "begun", "--resume")
    assert open_checkpoint(find_checkpoint(several, "last")).state["processes"] == 2
    alike(desk.train(desk.manifest(**laid(STILL, changes | {"plugins": []})), "one"), several)


def test_a_signal_to_one_process_ends_both_at_the_same_step_and_resume_is_the_unbroken_run(
    desk: Any, together: Together, contents: Any
) -> None:
    train = {"steps": 6, "log_every": 1}
    manifest = desk.manifest(
        plugins=once(desk, "time.sleep(1.5)"), train=train, checkpoint={"every": 100}
    )
    folder = desk.folder / "run"
    codes, err = signalled(desk, together, manifest, 1, signal.SIGTERM)
    assert codes == [143, 143], err
    assert err[1] == ""
    assert err[0].splitlines()[-1].startswith("stopped: SIGTERM at step ")
    together.train(2, manifest, folder, "--resume")
    unbroken = together.train(2, manifest, desk.folder / "unbroken")
    assert contents(folder) == contents(unbroken)


def test_another_number_of_processes_than_the_manifest_asks_for_is_refused_once(
    desk: Any, together: Together, cli: Any
) -> None:
    manifest = desk.manifest(devices=3)
    together.start(2, "train", manifest, "--out", desk.folder / "run")
    codes, err = together.end()
    assert codes == [1, 1]
    wanted = (
        "error: devices: the manifest asks for 3 process(es), and 2 run (`torchrun --nproc-per-node"
        " 3 -m emomtl train ...`"
    )
    assert "".join(err).count(wanted) == "".join(err).count("error: ") == 1
    alone = cli("train", manifest, "--out", desk.folder / "run")
    assert alone.code == 1
    assert "asks for 3 process(es), and 1 run" in alone.err
    assert not (desk.folder / "run").exists()


SILENT = """
from emomtl import Weighting, hookimpl

class Silent(Weighting):
    def combine(self, state, losses, moment):
        return sum(losses.values()), dict(losses)

    def backward(self, state, losses, moment):
        return super().backward(state, losses, moment)

@hookimpl
def emomtl_weightings():
    return {"silent": Silent}
"""


def test_a_weighting_that_may_keep_gradients_unsaid_is_refused(
    desk: Any, together: Together
) -> None:
    (desk.folder / "silent.py").write_text(SILENT)
    together.start(
        2,
        "train",
        desk.manifest(plugins=["./silent.py"], weighting={"use": "silent"}),
        "--out",
        desk.folder / "run",
    )
    codes, err = together.end()
    assert codes == [1, 1]
    assert (
        "".join(err).count("error: weighting.use: 'silent' fills gradients")
        == "".join(err).count("error: ")
        == 1
    )


def test_commands_for_one_process_refuse_a_launcher(desk: Any, together: Together) -> None:
    together.start(2, "check", desk.manifest())
    codes, err = together.end()
    assert codes == [1, 1]
    assert err[0].startswith(
        "error: processes: `check` is the work of one process, and a launcher started several"
    )
    assert err[1] == ""


@pytest.mark.parametrize(
    "given",
    [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "2", "RANK": "2"}, {"WORLD_SIZE": "two", "RANK": "0"}],
)
def test_a_launcher_s_variables_have_to_go_together(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert ranks_from_environment() == ALONE
    with process_group() as ranks:
        assert ranks == ALONE
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EmomtlError, match="these do not go together"):
        ranks_from_environment()


def test_a_launcher_s_variables_say_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert ranks_from_environment() == Ranks(rank=3, world_size=4, local_rank=1)


@pytest.mark.parametrize("engine", ["FSDP", "DEEPSPEED"])
def test_an_engine_that_splits_the_model_is_refused_once(
    desk: Any, together: Together, engine: str
) -> None:
    variable = f"ACCELERATE_USE_{engine}"
    together.start(2, "train", desk.manifest(), "--out", desk.folder / "run", **{variable: "true"})
    codes, err = together.end()
    assert codes == [1, 1]
    assert (
        "".join(err).count(f"error: processes: {variable} is set")
        == "".join(err).count("error: ")
        == 1
    )
    assert "start with torchrun or `accelerate launch --multi_gpu`" in "".join(err)
    assert not (desk.folder / "run").exists()


def test_one_process_refuses_an_engine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with (
        pytest.raises(EmomtlError, match="ACCELERATE_USE_FSDP is set, but emomtl has no FSDP"),
        process_group(),
    ):
        pass
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    with process_group() as ranks:
        assert ranks == ALONE


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_parts_cover_all_rows_once_and_keep_the_first_rows_first(size: int) -> None:
    rows = np.arange(100, 105)
    parts = [Ranks(rank, size).local_rows(rows) for rank in range(size)]
    assert all(len(part) for part in parts)
    assert sorted(row for part in parts[: len(rows)] for row in part.tolist()) == rows.tolist()
    for n in range(1, len(rows) + 1):
        for rank, part in enumerate(parts):
            here = Ranks(rank, size).local_count(n)
            wanted = [row for row in part.tolist() if row in rows[:n]]
            assert part[:here].tolist() == (wanted or part[:1].tolist())


def launch(desk: Any, *launcher: str) -> subprocess.CompletedProcess[str]:
    """Train a manifest that asks for two processes by a launcher's module, into the folder `run`."""
    manifest = desk.manifest(**laid(STILL, {"devices": 2}))
    command = [
        sys.executable,
        "-m",
        *launcher,
        "-m",
        "emomtl",
        "train",
        str(manifest),
        "--out",
        str(desk.folder / "run"),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.mark.long
def test_torchrun_starts_what_the_manifest_asks_for(desk: Any) -> None:
    done = launch(desk, "torch.distributed.run", "--nproc-per-node", "2")
    assert done.returncode == 0, done.stderr
    assert "note: 2 processes train together" in done.stderr
    alike(
        desk.train(desk.folder / "small.toml", "one", overrides=["devices=1"]),
        Run.open(desk.folder / "run"),
    )


@pytest.mark.long
def test_a_launcher_that_starts_one_process_in_silence_is_found_out(desk: Any) -> None:
    pytest.importorskip("accelerate")
    done = launch(desk, "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    assert done.returncode != 0
    assert "the manifest asks for 2 process(es), and 1 run" in done.stderr
