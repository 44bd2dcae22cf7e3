"""A task that gains nothing more stops on its own; weights that move; the cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from emomtl import EmomtlError, Moment
from emomtl.compose import compose_file
from emomtl.contracts.heads import MetricFacts
from emomtl.manifest import read_manifest, write_manifest
from emomtl.metrics.scoring import TaskScores
from emomtl.plugins.discovery import Plugins
from emomtl.report.collect import collect
from emomtl.report.sampling import expected_examples
from emomtl.run import Run
from emomtl.train import loop, validation
from emomtl.train.length import rate_factor
from emomtl.train.state import State, without_stopped
from emomtl.train.step import remember, take_step
from emomtl.train.validation import Validated
from tests.conftest import weightings_mostly_long

Script = Mapping[int, Sequence[float | None]]

JOINT = {"use": "proportional", "per_step": "all"}


def scripted(desk: Any, monkeypatch: pytest.MonkeyPatch, script: Script, **changes: Any) -> Run:
    """A run whose validation says what the script says of its tasks, by step."""
    session = begun(desk, monkeypatch, script, **changes)
    loop.train(session)
    return session.run


def begun(desk: Any, monkeypatch: pytest.MonkeyPatch, script: Script, **changes: Any) -> Any:
    def validate(session: Any, step: int) -> Validated:
        found = {}
        for task, value in zip(session.plan.tasks, script[step], strict=True):
            found[task] = TaskScores(8, {"macro_f1": value}, {"": []}, MetricFacts("macro_f1"))
        return Validated(step, found, {})

    monkeypatch.setattr(validation, "validate", validate)
    monkeypatch.setattr(validation, "save_predictions", lambda *_: "0" * 64)
    more = {name: changes.pop(name, None) for name in ("out", "resume") if name in changes}
    train = {"steps": max(script), "log_every": 1, **changes.pop("train", {})}
    return desk.begin(desk.manifest(train=train, eval={"every": 1}, **changes), **more)


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] == kind]


def patient(**tasks: int) -> dict[str, Any]:
    return {name: {"patience": patience} for name, patience in tasks.items()}


@pytest.mark.parametrize("sampler", ["annealed", "round-robin", "uniform"])
def test_a_stopped_task_is_drawn_no_more_and_the_others_are(
    desk: Any, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    script = {1: (0.5, 0.1), 2: (0.5, 0.2), 3: (0.4, 0.3)} | {
        step: (0.6, 0.1 * step) for step in range(4, 9)
    }
    run = scripted(
        desk,
        monkeypatch,
        script,
        tasks=patient(mood=2),
        sampler={"use": sampler, "per_step": "one"},
    )
    (stopped,) = events(run, "task_stopped")
    assert (stopped["step"], stopped["task"]) == (3, "mood")
    assert stopped["reason"] == "mood/macro_f1 has not improved in 2 evaluation(s)"
    assert "mood is trained no more from step 3 on" in (run.folder / "log.txt").read_text(
        encoding="utf-8"
    )
    for event in events(run, "step"):
        later = event["step"] > 3
        assert event["probabilities"] == ({"topics": 1.0} if later else event["probabilities"])
        assert not later or list(event["losses"]) == ["topics"]
    assert events(run, "finish")[0]["reason"] == "finished"


def test_in_joint_steps_it_is_absent_and_the_others_keep_their_rows(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {step: (0.1 * step, 0.5) for step in range(1, 7)}
    run = scripted(
        desk, monkeypatch, script, tasks=patient(topics=1), sampler={"use": "uniform", "per_step": "all"},
        weighting={"use": "famo"},
    )  # fmt: skip
    steps = events(run, "step")
    assert [sorted(event["losses"]) for event in steps] == [["mood", "topics"]] * 2 + [["mood"]] * 4
    assert [event["counts"]["mood"] for event in steps] == [8 * step for step in range(1, 7)]
    assert steps[-1]["counts"]["topics"] == 16
    assert steps[-1]["updates"] == {"mood": 6, "topics": 2}
    (result,) = collect([run.folder])
    assert expected_examples(result)[-1] == pytest.approx({"mood": 48, "topics": 16})


@pytest.mark.parametrize(
    "use", weightings_mostly_long(sorted(Plugins.discover().offers("weighting")))
)
def test_every_weighting_goes_on_without_it(desk: Any, use: str) -> None:
    options = {"weights": {"mood": 0.5}} if use == "static" else {}
    manifest = desk.manifest(
        sampler=JOINT, weighting={"use": use, **options}, train={"warmup": 0.0}
    )
    session = desk.begin(manifest)
    session.run.close()
    session.model.train()
    remember(session, take_step(session))
    session.state.stopped_tasks = {"topics": 1}
    for _ in range(3):
        done = take_step(session)
        remember(session, done)
        assert set(done.losses) == {"mood"}
        assert set(done.weights) <= {"mood", "topics"}
        assert done.finite


def test_a_stopped_task_s_head_stands_still(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script = {1: (0.5, 0.5), 2: (0.6, 0.5), 3: (0.7, 0.5)}
    train = {"weight_decay": 0.5, "schedule": "constant", "warmup": 0.0}
    session = begun(desk, monkeypatch, script, tasks=patient(topics=1), sampler=JOINT, train=train)
    session.state.stopped_tasks = {"topics": 0}
    before = {name: value.clone() for name, value in session.model.state_dict().items()}
    session.model.train()
    take_step(session)
    session.run.close()
    moved = {
        name for name, value in session.model.state_dict().items() if not value.equal(before[name])
    }
    assert not any(name.startswith("heads.topics") for name in moved)
    assert any(name.startswith("heads.mood") for name in moved)


def test_it_goes_on_counting_where_a_metric_is_undefined_and_starts_anew_with_a_gain(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [None, 0.3, 0.3, 0.4, None, 0.4, 0.4, 0.5]
    script = {step: (value, 0.1 * step) for step, value in enumerate(values, 1)}
    run = scripted(desk, monkeypatch, script, tasks=patient(mood=3))
    assert [event["step"] for event in events(run, "task_stopped")] == [7]


def test_the_run_ends_when_all_have_stopped(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script = {1: (0.5, 0.5), 2: (0.5, 0.6), 3: (0.5, 0.6), 4: (0.5, 0.6), 5: (0.5, 0.6)}
    run = scripted(desk, monkeypatch, script, tasks=patient(mood=2, topics=2))
    assert [(event["task"], event["step"]) for event in events(run, "task_stopped")] == [
        ("mood", 3),
        ("topics", 4),
    ]
    (finish,) = events(run, "finish")
    assert (finish["step"], finish["reason"]) == (4, "every task has stopped improving")


def test_the_run_ends_when_the_task_that_its_length_counts_has_stopped(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {step: (0.5, 0.1 * step) for step in range(1, 20)}
    train = {"steps": None, "target": "mood", "target_updates": 9}
    run = scripted(
        desk, monkeypatch, script, tasks=patient(mood=2), sampler={"use": "uniform"}, train=train
    )
    (finish,) = events(run, "finish")
    assert finish["step"] == 3
    assert finish["reason"] == "mood, whose updates are the run's length, has stopped improving"


def test_the_run_ends_when_the_sampler_draws_none_that_is_left(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = {"use": "explicit", "shares": {"mood": 1.0, "topics": 0.0}, "per_step": "one"}
    run = scripted(
        desk,
        monkeypatch,
        dict.fromkeys(range(1, 5), (0.5, 0.5)),
        tasks=patient(mood=1),
        sampler=sampler,
    )
    (finish,) = events(run, "finish")
    assert (finish["step"], finish["reason"]) == (
        2,
        "the sampler never draws what is still trained (topics)",
    )


def test_updates_of_the_target_count_on_when_another_task_has_stopped(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {step: (0.5, 0.1 * step) for step in range(1, 20)}
    train = {"steps": None, "target": "topics", "target_updates": 6}
    run = scripted(
        desk,
        monkeypatch,
        script,
        tasks=patient(mood=1),
        sampler={"use": "round-robin"},
        train=train,
    )
    assert events(run, "step")[-1]["updates"]["topics"] == 6
    assert events(run, "task_stopped")[0]["step"] == 2


def test_a_resumed_run_stops_the_same_tasks(
    desk: Any, monkeypatch: pytest.MonkeyPatch, contents: Any
) -> None:
    script = {
        1: (0.5, 0.1),
        2: (0.5, 0.2),
        3: (0.4, 0.3),
        4: (0.6, 0.3),
        5: (0.6, 0.3),
        6: (0.6, 0.9),
    }
    given: dict[str, Any] = {"tasks": patient(mood=2, topics=4), "sampler": {"per_step": "one"}}
    whole = scripted(desk, monkeypatch, script, out="whole", **given)

    def killed(session: Any, improved: bool) -> None:
        save(session, improved)
        if session.state.step in (2, 4):
            raise KeyboardInterrupt

    save = loop.save
    for resume in (False, True):
        monkeypatch.setattr(loop, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            scripted(desk, monkeypatch, script, out="cut", resume=resume, **given)
    monkeypatch.setattr(loop, "save", save)
    cut = scripted(desk, monkeypatch, script, out="cut", resume=True, **given)
    assert contents(whole, "last") == contents(cut, "last")
    assert events(cut, "task_stopped") == events(whole, "task_stopped")


def test_samplers_see_the_tasks_that_are_left_and_nothing_of_the_others() -> None:
    moment = Moment(
        3,
        0.5,
        0,
        1,
        {"a": 1, "b": 2, "c": 3},
        {"a": 1, "b": 1, "c": 1},
        {"b": 0.5},
        {"b": {"f": 1.0}, "c": {}},
    )
    seen = without_stopped(moment, State(step=9, stopped_tasks={"b": 4}))
    assert (seen.sizes, seen.counts, seen.losses, seen.scores) == (
        {"a": 1, "c": 3},
        {"a": 1, "c": 1},
        {},
        {"c": {}},
    )
    assert without_stopped(moment, State()) is moment


def test_a_state_of_other_tasks_that_stopped_is_refused() -> None:
    state = State.fresh(["mood"])
    state.stopped_tasks = {"other": 0}
    with pytest.raises(ValueError, match="other"):
        state.check(["mood"], 0)


@pytest.mark.parametrize(
    ("progress", "warmup", "factor"),
    [
        (0.05, 0.1, 0.5),
        (0.1, 0.1, 1.0),
        (0.25, 0.0, math.cos(math.pi / 8) ** 2),
        (0.55, 0.1, 0.5),
        (1.0, 0.1, 0.0),
    ],
)
def test_the_cosine_falls_by_half_a_wave_after_the_warm_up(
    progress: float, warmup: float, factor: float
) -> None:
    # (1 + cos x) / 2 = cos(x / 2)^2
    assert rate_factor(progress, warmup, "cosine") == pytest.approx(factor, abs=1e-12)


def test_the_cosine_is_that_of_transformers() -> None:
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, 4, 20)
    for step in range(20):
        assert rate_factor(step / 20, 0.2, "cosine") == pytest.approx(
            scheduler.get_last_lr()[0], abs=1e-9
        )
        optimizer.step()
        scheduler.step()


def test_a_weight_that_moves_is_the_static_factor_of_every_step(desk: Any) -> None:
    weight = {"from": 2.0, "to": 0.5}
    given: dict[str, Any] = {"sampler": JOINT, "weighting": {"use": "equal"}}
    plain = desk.begin(desk.manifest("plain", **given), "plain")
    moving = desk.begin(
        desk.manifest("moving", tasks={"mood": {"weight": weight}}, **given), "moving"
    )
    for session in (plain, moving):
        session.run.close()
        session.model.eval()
    for step in (0, 2, 5):
        factor = 2.0 - 1.5 * step / 6
        found = []
        for session in (plain, moving):
            session.state.step = step
            session.optimizer.param_groups[0]["lr"] = 0.0
            found.append({task: float(loss.detach()) for task, loss in losses(session).items()})
        assert found[1]["mood"] == pytest.approx(factor * found[0]["mood"], rel=1e-5)
        assert found[1]["topics"] == pytest.approx(found[0]["topics"], rel=1e-6)


def losses(session: Any) -> Any:
    from emomtl.train.step import losses_of, moment_of

    drawing = session.feeder.draw(session.plan.sampler, moment_of(session), session.state)
    return losses_of(session, drawing.micro[0])


def test_weightings_are_told_the_first_weight(desk: Any) -> None:
    given = {"sampler": JOINT, "weighting": {"use": "uncertainty"}}
    one = desk.begin(desk.manifest("one", tasks={"mood": {"weight": 0.25}}, **given), "one")
    two = desk.begin(
        desk.manifest("two", tasks={"mood": {"weight": {"from": 0.25, "to": 1.0}}}, **given), "two"
    )
    for session in (one, two):
        session.run.close()
    assert all(
        a.equal(b)
        for a, b in zip(one.weighting.parameters(), two.weighting.parameters(), strict=True)
    )


def test_a_weight_that_moves_is_written_and_read_again(desk: Any) -> None:
    path = desk.manifest(tasks={"mood": {"weight": {"from": 1.0, "to": 0.1}, "patience": 3}})
    plan = compose_file(path, [], Plugins.discover())
    text = write_manifest(plan.manifest)
    assert "[tasks.mood.weight]\nfrom = 1.0\nto = 0.1" in text
    again = desk.folder / "again.toml"
    again.write_text(text, encoding="utf-8")
    assert read_manifest(again) == plan.manifest


@pytest.mark.parametrize(
    ("weight", "found"),
    [
        ({"from": 1.0}, "a table"),
        ({"from": 1.0, "to": -1.0}, "a table"),
        ({"from": 1.0, "to": 0.5, "over": 3}, "a table"),
        ("high", "the text 'high'"),
        (-1.0, "the number -1.0"),
    ],
)
def test_a_wrong_weight_is_told_what_a_weight_is(desk: Any, weight: Any, found: str) -> None:
    with pytest.raises(EmomtlError) as error:
        compose_file(desk.manifest(tasks={"mood": {"weight": weight}}), [], Plugins.discover())
    (problem,) = error.value.problems
    assert problem.place == "tasks.mood.weight"
    assert problem.found == f"found {found}"
    assert problem.remedy == "expected a number from 0 to 1e+30 or a table with `from` and `to`"


def test_check_says_what_moves_and_what_may_stop(desk: Any, cli: Any) -> None:
    path = desk.manifest(
        tasks={"mood": {"weight": {"from": 1.0, "to": 0.1}, "patience": 3}},
        train={"schedule": "cosine"},
    )
    said = cli("check", path, "--no-step")
    assert said.code == 0, said.err
    assert "mood: its weight goes from 1 to 0.1 over the run, in a straight line" in said.err
    assert "mood: it is trained until mood/macro_f1 has not improved in 3 evaluation(s)" in said.err
