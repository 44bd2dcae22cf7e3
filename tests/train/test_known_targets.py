"""The loss of a step is the mean over its known targets however it is cut, and a task without any
has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from emomtl.plugins.discovery import Plugins
from emomtl.train.draw import known_targets
from emomtl.train.step import compute_gradients, moment_of, remember, settle, take_step
from tests.conftest import weightings_mostly_long

STILL = {"head": {"dropout": 0.0}}

NUMBERS = {"use": "regression", "dimensions": ["valence", "arousal", "dominance"], "dropout": 0.0}
JOINT = {"use": "uniform", "per_step": "all"}


def begun(desk: Any, out: str, accumulate: int = 1, weighting: str = "equal", **more: Any) -> Any:
    """A session without dropout; half of what is known of each task is taken away, in rows and in
    parts of rows.
    """
    tasks = more.pop("tasks", {"mood": STILL, "topics": STILL})
    options = {"weights": {"mood": 0.5}} if weighting == "static" else {}
    manifest = desk.manifest(
        out,
        encoder={"dropout": 0.0},
        tasks=tasks,
        sampler=JOINT,
        weighting={"use": weighting, **options},
        train={"accumulate": accumulate, "batch_size": 16, "warmup": 0.0},
        **more,
    )
    session = desk.begin(manifest, out)
    session.run.close()
    session.model.train()
    return session


def unlabel(session: Any, task: str, rows: Any = slice(None), columns: Any = None) -> None:
    """Take the targets of some rows away, or of some columns of them."""
    feeder, head = session.feeder, session.plan.tasks[task].head
    targets = feeder.targets[task].copy()
    missing = np.nan if targets.dtype.kind == "f" else -100
    if columns is None:
        targets[rows] = missing
    else:
        targets[rows, columns] = missing
    feeder.targets[task], feeder.known[task] = targets, known_targets(head, targets)


def numbers(desk: Any) -> dict[str, Any]:
    """A task of three numbers a text."""
    lines = (desk.folder / "mood.csv").read_text().splitlines()[1:]
    texts = [line.split(",") for line in lines]
    rows = [f"{text},{i % 5},{i % 3},{i % 7},{part}" for i, (text, _, part) in enumerate(texts)]
    (desk.folder / "numbers.csv").write_text(
        "\n".join(["text,valence,arousal,dominance,part", *rows]) + "\n"
    )
    options = {"split": "part", "label": ["valence", "arousal", "dominance"]}
    return {"use": "table", "source": "numbers.csv", "options": options, "head": NUMBERS}


def uneven(session: Any) -> None:
    """Rows without a label, and rows that are known in part, so that no two micro-batches know
    equally much.
    """
    size = {task: len(targets) for task, targets in session.feeder.targets.items()}
    unlabel(session, "mood", np.arange(size["mood"]) % 3 == 0)
    unlabel(session, "topics", np.arange(size["topics"]) % 2 == 0, slice(1, None))
    if "numbers" in size:
        unlabel(session, "numbers", np.arange(size["numbers"]) % 3 == 1, slice(0, 2))
        unlabel(session, "numbers", np.arange(size["numbers"]) % 5 == 2)


def gradient(session: Any, raw: bool = False) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """The losses of the next step (`raw`: the heads' means, before the scale) and its gradients by
    parameter.
    """
    moment = moment_of(session)
    drawing = session.feeder.draw(session.plan.sampler, moment, session.state)
    made = compute_gradients(session, drawing, moment)
    losses = made.raw if raw else made.losses
    found = {
        name: p.grad.clone() for name, p in session.model.named_parameters() if p.grad is not None
    }
    return {task: float(loss) for task, loss in losses.items()}, found


def alike(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("weighting", ["equal", "geometric-mean", "uncertainty", "imtl-l", "famo"])
def test_loss_and_gradient_do_not_depend_on_how_a_step_is_cut(desk: Any, weighting: str) -> None:
    tasks = {"mood": STILL, "topics": STILL, "numbers": numbers(desk)}
    seen = []
    for accumulate in (1, 4, 16):
        session = begun(desk, f"run-{accumulate}", accumulate, weighting, tasks=tasks)
        uneven(session)
        seen.append(gradient(session))
    for losses, gradients in seen[1:]:
        assert losses == pytest.approx(seen[0][0], rel=1e-5)
        alike(seen[0][1], gradients)


def test_the_loss_of_a_step_is_the_heads_own_over_all_of_its_rows(desk: Any) -> None:
    session = begun(desk, "run", 5)
    uneven(session)
    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    losses, _ = gradient(session, raw=True)
    for task, loss in losses.items():
        figures, targets = [], []
        with torch.no_grad():
            for part in (part for parts in drawing.micro for part in parts if task in part.targets):
                inputs = {name: torch.from_numpy(array) for name, array in part.inputs.items()}
                figures.append(
                    session.model.logits(
                        task, session.model.encode(inputs)[: len(part.targets[task])]
                    )
                )
                targets.append(torch.from_numpy(part.targets[task]))
        whole = session.plan.tasks[task].head.loss(torch.cat(figures), torch.cat(targets))
        assert loss == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 3, 7])
def test_with_every_label_known_a_piece_has_its_part_of_the_texts_to_the_last_bit(
    desk: Any, accumulate: int
) -> None:
    session = begun(desk, "run", accumulate)
    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    totals = drawing.totals
    for part in (part for parts in drawing.micro for part in parts):
        for task in part.targets:
            assert part.known[task] / totals.known[task] == part.number(task) / totals.texts[task]


def test_a_step_is_cut_into_no_more_pieces_than_it_has_rows(desk: Any) -> None:
    session = begun(desk, "run", 10**6)
    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    assert len(drawing.micro) == 16


WEIGHTINGS = sorted(Plugins.discover().offers("weighting"))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("weighting", weightings_mostly_long(WEIGHTINGS))
def test_a_task_without_a_label_in_a_step_is_absent_and_not_0(
    desk: Any, weighting: str, accumulate: int
) -> None:
    session = begun(
        desk,
        "run",
        accumulate,
        weighting,
        tasks={"mood": STILL, "topics": STILL, "third": third(desk)},
    )
    for step in range(3):
        targets, known = dict(session.feeder.targets), dict(session.feeder.known)
        if step == 1:
            unlabel(session, "topics")
        done = take_step(session)
        here = {"mood", "third"} if step == 1 else {"mood", "topics", "third"}
        assert set(done.losses) == set(done.weights) == here
        assert bool(done.finite)
        assert all(abs(float(weight)) < 100 for weight in done.weights.values())
        remember(session, done)
        settle(session)
        session.feeder.targets, session.feeder.known = targets, known
    assert session.window.totals()["topics"][1] == 2
    assert session.state.updates == {"mood": 3, "topics": 2, "third": 3}
    assert all(
        bool(torch.isfinite(value).all()) for value in session.weighting.state_dict().values()
    )


def third(desk: Any) -> dict[str, Any]:
    desk.table("third", 30, ["joy", "fear"], seed=9)
    return {"use": "table", "source": "third.csv", "options": {"split": "part"}, **STILL}


@pytest.mark.parametrize(
    "weighting", ["geometric-mean", "famo", "gradnorm", "imtl-g", "uncertainty"]
)
def test_without_its_labels_a_task_leaves_the_others_what_they_have_without_it(
    desk: Any, weighting: str
) -> None:
    both = begun(
        desk,
        "both",
        weighting=weighting,
        tasks={"mood": STILL, "topics": STILL, "third": third(desk)},
    )
    unlabel(both, "third")
    alone = begun(desk, "alone", weighting=weighting)
    ours, theirs = take_step(both), take_step(alone)
    names = ("mood", "topics")
    assert {task: float(ours.losses[task]) for task in names} == {
        task: float(theirs.losses[task]) for task in names
    }
    weights = {task: float(ours.weights[task]) for task in names}
    assert weights == pytest.approx({task: float(theirs.weights[task]) for task in names}, rel=1e-5)


@pytest.mark.parametrize("weighting", ["uncertainty", "famo", "pcgrad", "gradnorm"])
def test_a_step_without_any_label_changes_nothing_and_is_said_once(
    desk: Any, weighting: str
) -> None:
    session = begun(desk, "run", weighting=weighting)
    notes: list[str] = []
    session.reporter.display.note = notes.append
    remember(session, take_step(session))
    for task in ("mood", "topics"):
        unlabel(session, task)
    before = {name: value.clone() for name, value in session.model.state_dict().items()}
    learned = {name: value.clone() for name, value in session.weighting.state_dict().items()}
    for _ in range(2):
        done = take_step(session)
        remember(session, done)
        settle(session)
        assert done.losses == done.weights == {}
        assert bool(done.finite)
    assert all(
        torch.equal(session.model.state_dict()[name], value) for name, value in before.items()
    )
    assert all(
        torch.equal(session.weighting.state_dict()[name], value) for name, value in learned.items()
    )
    assert session.state.step == 3
    assert session.state.updates == {"mood": 1, "topics": 1}
    assert notes == [
        "no row of step 2 (mood, topics) has a label, so it changes nothing; nor will others"
        " like it"
    ]


def test_a_run_in_which_most_steps_have_no_label_ends_and_resumes_as_the_unbroken_one(
    desk: Any, contents: Any
) -> None:
    lines = [line.split(",") for line in (desk.folder / "mood.csv").read_text().splitlines()[1:]]
    rows = [
        {"text": text, "label": None if number % 9 and part == "train" else label, "part": part}
        for number, (text, label, part) in enumerate(lines)
    ]
    (desk.folder / "mood.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    manifest = desk.manifest(
        tasks={"mood": {"source": "mood.jsonl", "options": {"empty": "unknown"}}, "topics": None},
        train={"batch_size": 2, "steps": 12, "log_every": 5},
        eval={"every": 6},
    )
    run = desk.train(manifest, "whole")
    counts = [event["counts"] for event in run.events() if event["event"] == "step"][-1]
    assert 0 < counts["mood"] < 12
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "parts", plugins=desk.stopping(step=4))
    assert contents(desk.train(manifest, "parts", resume=True)) == contents(run)


def test_an_objective_is_weighted_by_texts_and_goes_where_its_task_goes(desk: Any) -> None:
    objectives = {"near": {"use": "supervised-contrastive", "task": "mood", "weight": 0.5}}
    session = begun(desk, "run", 3, objectives=objectives)
    uneven(session)
    assert set(take_step(session).losses) == {"mood", "topics", "mood/near"}
    unlabel(session, "mood")
    assert set(take_step(session).losses) == {"topics"}


WORDS = {"use": "masked-tokens", "options": {"of": "mood"}, "head": {"share": 0.3, "dropout": 0.0}}


def test_hidden_tokens_are_counted_over_the_pieces_of_a_step(desk: Any) -> None:
    session = begun(desk, "run", 4, tasks={"mood": STILL, "topics": None, "words": WORDS})
    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    parts = [part for parts in drawing.micro for part in parts if part.tokens]
    hidden = [int((part.targets["words"] != -100).sum()) for part in parts]
    assert len(set(hidden)) > 1
    assert [part.known["words"] for part in parts] == hidden
    assert drawing.totals.known["words"] == sum(hidden)
    losses, _ = gradient(session, raw=True)
    total = 0.0
    with torch.no_grad():
        for part in parts:
            inputs = {name: torch.from_numpy(array) for name, array in part.inputs.items()}
            total += float(
                session.model.token_outputs(
                    "words", inputs, torch.from_numpy(part.targets["words"])
                )[:, 0].sum()
            )
    assert losses["words"] == pytest.approx(total / sum(hidden), rel=1e-5)
