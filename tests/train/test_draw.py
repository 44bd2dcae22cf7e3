"""What a step trains on: tasks by the sampler's probabilities, rows by the streams, each text of a
corpus encoded once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from emomtl import EmomtlError, Moment
from emomtl.plugins.discovery import Plugins
from emomtl.train import Session
from emomtl.train.state import State

SAMPLERS = [
    "annealed",
    "explicit",
    "headroom",
    "power",
    "proportional",
    "round-robin",
    "square-root",
    "temperature",
    "uniform",
]
REQUIRED = {"explicit": {"shares": {"mood": 5.0, "topics": 1.0, "small": 2.0}}}
DRAWS = 1500


@pytest.fixture(scope="module")
def sessions(
    make_desk: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Session]]:
    """A session with one task a step and one with all, over three tasks of two corpora."""
    desk = make_desk(tmp_path_factory.mktemp("draw"))
    desk.table("small", 12, ["joy", "fear"], seed=9)
    small = {"use": "table", "source": "small.csv", "options": {"split": "part"}}
    made = {
        way: desk.begin(
            desk.manifest(
                way, tasks={"small": small}, sampler={"per_step": way}, train={"batch_size": 4}
            ),
            way,
        )
        for way in ("one", "all")
    }
    yield made
    for session in made.values():
        session.run.close()


def sampler(name: str) -> Any:
    return Plugins.discover().offer("sampler", name).value(**REQUIRED.get(name, {}))


def moments(session: Session, n: int) -> Iterator[Moment]:
    for step in range(n):
        yield Moment(step, step / n, 0, 1, session.data.sizes, joint=session.feeder.joint, seed=5)


def test_every_offered_sampler_is_counted_here() -> None:
    first_party = [
        name
        for name, offer in Plugins.discover().offers("sampler").items()
        if offer.plugin.module.__name__.startswith("emomtl_plugins")
    ]
    assert sorted(SAMPLERS) == sorted(first_party)


@pytest.mark.parametrize("name", SAMPLERS)
def test_tasks_are_drawn_as_often_as_the_sampler_says(
    sessions: dict[str, Session], name: str
) -> None:
    session, drawn, expected, drawer = (
        sessions["one"],
        Counter[str](),
        Counter[str](),
        sampler(name),
    )
    for moment in moments(session, DRAWS):
        drawing = session.feeder.draw(drawer, moment, session.state)
        (task,) = drawing.rows
        drawn[task] += 1
        expected.update(drawing.probabilities)
        assert len(drawing.rows[task]) == 4
    tasks = [task for task in expected if expected[task] > 0]
    assert set(drawn) <= set(tasks)
    if name == "round-robin":
        assert drawn == expected
    else:
        assert (
            chisquare([drawn[task] for task in tasks], [expected[task] for task in tasks]).pvalue
            > 0.01
        )


@pytest.mark.parametrize("name", SAMPLERS)
def test_with_every_task_in_a_step_examples_follow_the_probabilities(
    sessions: dict[str, Session], name: str
) -> None:
    session, had, expected, drawer = sessions["all"], Counter[str](), Counter[str](), sampler(name)
    for moment in moments(session, 600):
        drawing = session.feeder.draw(drawer, moment, session.state)
        had.update(drawing.examples)
        expected.update({task: 12 * p for task, p in drawing.probabilities.items()})
        assert sum(drawing.examples.values()) in (
            12,
            13,
        ), "one more where a share is below one example"
    for task, wanted in expected.items():
        assert had[task] == pytest.approx(max(wanted, 600), rel=0.03)


def test_a_task_with_probability_zero_is_never_drawn(sessions: dict[str, Session]) -> None:
    never = replace(sampler("explicit"), shares={"mood": 1.0, "topics": 0.0, "small": 1.0})
    for session in sessions.values():
        for moment in moments(session, 50):
            assert session.feeder.draw(never, moment, session.state).examples.get("topics", 0) == 0


@pytest.mark.parametrize("way", ["one", "all"])
def test_a_draw_is_a_pure_function_of_step_and_state(
    sessions: dict[str, Session], way: str
) -> None:
    session = sessions[way]
    moment = Moment(7, 0.3, 0, 1, session.data.sizes, joint=way == "all", seed=5)
    state = State(step=7, positions={"mood": 41, "topics": 18, "small": 30})
    first = session.feeder.draw(sampler("annealed"), moment, state)
    for other in range(3):
        session.feeder.draw(
            sampler("annealed"), replace(moment, step=other), State(positions={"mood": other * 100})
        )
    again = session.feeder.draw(sampler("annealed"), moment, state)
    assert first.rows.keys() == again.rows.keys()
    assert all(np.array_equal(rows, again.rows[stream]) for stream, rows in first.rows.items())
    assert (first.examples, first.probabilities, first.advance) == (
        again.examples,
        again.probabilities,
        again.advance,
    )
    assert state.positions == {"mood": 41, "topics": 18, "small": 30}, "the state is not touched"


@pytest.mark.parametrize(
    "given",
    [{"mood": 1.0, "other": 1.0}, {"mood": -1.0}, {"mood": float("nan")}, {}, {"mood": 0.0}],
)
def test_a_sampler_that_gives_nonsense_is_named(
    sessions: dict[str, Session], given: dict[str, float]
) -> None:
    class Nonsense:
        def probabilities(self, moment: Moment) -> dict[str, float]:
            return given

    session = sessions["one"]
    with pytest.raises(EmomtlError, match=r"sampler: gave .* at step 3"):
        session.feeder.draw(Nonsense(), Moment(3, 0.0, 0, 1, session.data.sizes), session.state)  # type: ignore[arg-type]


def counted(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of the encoder from now on."""
    rows: list[int] = []
    encode = session.model.encode

    def counting(inputs: Any, **more: Any) -> Any:
        rows.append(len(inputs["input_ids"]))
        return encode(inputs, **more)

    monkeypatch.setattr(session.model, "encode", counting)
    return rows


def test_three_tasks_of_one_corpus_encode_each_text_once_a_step(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.train.step import take_step
    from emomtl.train.validation import validate

    mood = {"use": "table", "source": "mood.csv", "options": {"split": "part"}}
    tasks = {"topics": None, "again": mood, "third": {**mood, "head": {"use": "multi-label"}}}
    session = desk.begin(desk.manifest(tasks=tasks, sampler={"use": "uniform", "per_step": "all"}))
    rows = counted(session, monkeypatch)
    for step in range(4):
        session.state.step = step
        done = take_step(session)
        assert done.drawing.examples == {"mood": 8, "again": 8, "third": 8}
        assert set(done.losses) == {"mood", "again", "third"}
    assert rows == [8] * 4
    rows.clear()
    validate(session, 0)
    assert sum(rows) == 24, "validation too is encoded once for all three"
    session.run.close()


def test_batch_sizes_limits_and_weights_of_tasks_are_honoured(desk: Any) -> None:
    import torch

    from emomtl.train.step import take_step

    tasks = {"mood": {"batch_size": 3, "limit": 10}, "topics": {"weight": 0.0}}
    changes = {
        "tasks": tasks,
        "sampler": {"use": "uniform", "per_step": "all"},
        "weighting": {"use": "equal"},
    }
    session = desk.begin(desk.manifest(**changes, train={"weight_decay": 0.0}))
    assert session.data.sizes == {"mood": 10, "topics": 36}
    before = {name: value.clone() for name, value in session.model.heads.state_dict().items()}
    for step in range(1, 4):
        session.state.step = step
        done = take_step(session)
        assert done.drawing.examples == {"mood": 3, "topics": 8}
        assert float(done.losses["topics"]) == 0.0
        assert set(done.drawing.rows["mood"]) <= set(session.data.rows("mood", "train").index)
    for name, value in session.model.heads.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("topics"), name
    session.run.close()


@pytest.mark.parametrize("way", ["one", "all"])
def test_target_updates_are_exactly_the_updates_of_the_target(desk: Any, way: str) -> None:
    changes = {
        "train": {"steps": None, "target_updates": 5, "target": "topics"},
        "sampler": {"per_step": way},
    }
    run = desk.train(desk.manifest(**changes, checkpoint=None))
    last = [event for event in run.events() if event["event"] == "step"][-1]
    assert last["updates"]["topics"] == 5
    assert last["progress"] == 1.0
    assert (last["step"] == 5) == (way == "all")


def test_a_target_that_is_never_drawn_is_refused_before_a_folder_is_made(desk: Any) -> None:
    explicit = {"use": "explicit", "shares": {"mood": 1.0, "topics": 0.0}}
    manifest = desk.manifest(
        train={"steps": None, "target_updates": 5, "target": "topics"}, sampler=explicit
    )
    with pytest.raises(EmomtlError, match="never draws 'topics'"):
        desk.begin(manifest)
    assert not (desk.folder / "run").exists()


@pytest.mark.parametrize("way", ["one", "all"])
def test_one_epoch_is_a_pass_worth_of_examples(desk: Any, way: str) -> None:
    run = desk.train(
        desk.manifest(
            sampler={"use": "proportional", "per_step": way},
            train={"steps": None, "epochs": 2.0, "batch_size": 4},
            eval={"every": None},
            checkpoint=None,
        )
    )
    events = list(run.events())
    last = [event for event in events if event["event"] == "step"][-1]
    assert last["step"] == (42 if way == "one" else 21)
    assert sum(last["counts"].values()) == 168 == 2 * (48 + 36)
    evaluations = [event["step"] for event in events if event["event"] == "evaluation"]
    assert evaluations == ([21, 42] if way == "one" else [11, 21])
