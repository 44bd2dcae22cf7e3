"""The course of measurements over a run in memory, its summary, its picture, gains, and the
command.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from emomtl.analyses.affinity.course import Affinity, affinity, batches, measure
from emomtl.analyses.affinity.gains import correlate, read_gains
from emomtl.analyses.affinity.picture import figure
from emomtl.analyses.affinity.probe import WHOLE, Measurement
from emomtl.analyses.affinity.summary import as_json, ranking
from emomtl.compose import compose_file
from emomtl.errors import EmomtlError
from emomtl.metrics.intervals import MeanInterval, mean_interval
from emomtl.plugins.discovery import Plugins
from emomtl.report.drawing import save_picture

ALL = {"sampler": {"per_step": "all"}, "weighting": {"use": "equal"}}
OPTIONS = {"split": "part"}
TWICE = {
    "mood": {"use": "table", "source": "mood.csv", "options": OPTIONS},
    "again": {"use": "table", "source": "mood.csv", "options": OPTIONS},
}


def made(
    lookahead: list[list[list[float]]], cosines: list[list[list[float]]] | None = None
) -> Affinity:
    """An affinity of given matrices, one a measurement."""
    tasks = tuple("abcdefghij"[: len(lookahead[0])])
    shown = [
        Measurement(
            tasks,
            {WHOLE: np.array(c), "layer 0": np.array(c)},
            np.abs(np.array(c)),
            np.array(z),
            np.ones(len(tasks)),
        )
        for z, c in zip(lookahead, cosines or lookahead, strict=True)
    ]
    return Affinity(tasks, tuple(range(10, 10 * len(shown) + 1, 10)), 1e-3, tuple(shown))


def test_a_course_measures_on_its_schedule_the_same_each_time_and_leaves_no_run(
    desk: Any, monkeypatch: Any
) -> None:
    scratch = desk.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    plan = compose_file(desk.manifest(**ALL), [], Plugins.discover())
    before, told = sorted(desk.folder.rglob("*")), []
    once = affinity(plan, 7, 3, told=told.append)
    assert once.steps == (3, 6)
    assert told == [3, 6]
    assert sorted(desk.folder.rglob("*")) == before
    again = affinity(plan, 7, 3)
    assert json.dumps(as_json(once, "mood")) == json.dumps(as_json(again, "mood"))
    assert not np.array_equal(once.measurements[0].lookahead, once.measurements[1].lookahead)


def test_measuring_does_not_change_the_run_that_it_measures(desk: Any) -> None:
    from emomtl.train.step import try_step

    plain, probed = (desk.begin(desk.manifest(**ALL), name) for name in ("plain", "probed"))
    plain.model.train(), probed.model.train()
    for step in range(1, 4):
        try_step(plain)
        try_step(probed)
        measure(probed, step, 0.1)
    assert probed.state.as_json() == plain.state.as_json()
    after = plain.model.state_dict()
    assert all(torch.equal(after[name], one) for name, one in probed.model.state_dict().items())
    assert probed.evaluator.precision == plain.evaluator.precision


def test_the_scale_of_the_losses_changes_no_score_of_a_model(desk: Any) -> None:
    found = {}
    for scale in ("mean", "nats"):
        session = desk.begin(desk.manifest(**ALL, train={"loss_scale": scale}), scale)
        found[scale] = measure(session, 1, 1e-2)
    assert not np.allclose(found["nats"].losses, found["mean"].losses)
    assert found["nats"].lookahead == pytest.approx(found["mean"].lookahead, rel=1e-3)


def test_a_task_twice_with_one_head_has_cosine_1_and_the_gain_of_itself(desk: Any) -> None:
    session = desk.begin(desk.manifest(tasks={"topics": None, **TWICE}, **ALL))
    session.model.heads["again"].load_state_dict(session.model.heads["mood"].state_dict())
    found = measure(session, 1, 1e-2)
    assert found.tasks == ("mood", "again")
    assert found.cosines[WHOLE] == pytest.approx(np.ones((2, 2)), abs=1e-6)
    assert found.lookahead[1, 0] == pytest.approx(found.lookahead[0, 0], rel=1e-6)
    assert found.lookahead[1, 0] > 0


def test_a_head_that_says_the_opposite_has_cosine_minus_1_and_hurts(desk: Any) -> None:
    """Two labels: with the rows of the head's matrix exchanged, each gradient step undoes the
    other's.
    """
    two = {
        "use": "table",
        "source": str(desk.table("two", 40, ["joy", "anger"], seed=4)),
        "options": OPTIONS,
    }
    session = desk.begin(
        desk.manifest(tasks={"mood": None, "topics": None, "two": two, "turned": two}, **ALL)
    )
    with torch.no_grad():
        for one, other in zip(
            session.model.heads["two"].parameters(),
            session.model.heads["turned"].parameters(),
            strict=True,
        ):
            one.mul_(0.01)
            other.copy_(one.flip(0))
    found = measure(session, 1, 1e-2)
    assert found.cosines[WHOLE][0, 1] == pytest.approx(-1.0, abs=1e-2)
    assert found.lookahead[0, 1] < 0 < found.lookahead[0, 0]


def test_batches_hold_rows_of_every_task_shared_within_a_corpus_and_depend_on_the_step(
    desk: Any,
) -> None:
    tasks = {
        **TWICE,
        "mood": {**TWICE["mood"], "limit": 12},
        "again": {**TWICE["again"], "batch_size": 5},
    }
    session = desk.begin(desk.manifest(tasks=tasks, **ALL))
    one, other = batches(session, 1), batches(session, 2)
    assert [sorted(part.targets) for part in one] == [["again", "mood"], ["topics"]]
    assert [part.rows for part in one] == [8, 8]
    assert (one[0].targets["mood"] >= 0).all(), "rows that only one of both has are left out"
    assert (
        one[0].inputs["input_ids"].tolist() == batches(session, 1)[0].inputs["input_ids"].tolist()
    )
    assert one[0].inputs["input_ids"].tolist() != other[0].inputs["input_ids"].tolist()


def test_features_and_hidden_words_are_measured_as_they_are_trained(desk: Any, cli: Any) -> None:
    words = {"use": "masked-tokens", "options": {"of": "mood"}, "head": {"share": 0.5}}
    manifest = desk.manifest(tasks={"words": words}, features={"lexicon": {"of": "mood"}}, **ALL)
    session = desk.begin(manifest)
    parts = batches(session, 1)
    assert [sorted(part.targets) for part in parts] == [["mood"], ["words"], ["topics"]]
    assert [part.features is not None for part in parts] == [True, False, True]
    mask = session.feeder.vocabulary.mask
    hidden = [bool((part.inputs["input_ids"] == mask).any()) for part in parts]
    assert hidden == [False, True, False]
    once, again = measure(session, 1, 1e-2), measure(session, 1, 1e-2)
    assert once.tasks == ("mood", "topics", "words")
    assert (once.losses > 0).all()
    assert np.array_equal(once.lookahead, again.lookahead)
    said = cli("affinity", manifest, "--target", "mood", "--steps", "4", "--every", "2", "--json")
    assert said.code == 0, said.err
    assert set(json.loads(said.out)["lookahead"]["words"]) == {"mood", "topics"}


def test_rows_without_a_label_are_in_no_batch(desk: Any) -> None:
    session = desk.begin(desk.manifest(**ALL))
    feeder = session.feeder
    feeder.targets["mood"] = np.where(np.arange(48) % 4 == 0, feeder.targets["mood"], -100)
    feeder.known["mood"] = (feeder.targets["mood"] != -100).astype(int)
    for step in range(3):
        part = next(part for part in batches(session, step) if "mood" in part.targets)
        assert (part.targets["mood"] >= 0).all()


def test_objectives_count_as_part_of_their_tasks_loss(desk: Any) -> None:
    plain = measure(desk.begin(desk.manifest("plain", **ALL), "plain"), 1, 1e-2)
    objective = {"use": "supervised-contrastive", "task": "mood"}
    found = measure(
        desk.begin(desk.manifest("with", **ALL, objectives={"near": objective}), "with"), 1, 1e-2
    )
    assert found.losses[0] > plain.losses[0]
    assert found.losses[1] == plain.losses[1]
    assert found.cosines[WHOLE][0, 1] != plain.cosines[WHOLE][0, 1]


def test_a_spread_is_students_interval_and_none_where_it_cannot_be_known() -> None:
    values = np.random.default_rng(1).normal(size=12)
    found = mean_interval(np.append(values, np.nan))
    low, high = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert (found.n, found.mean, found.sd) == (
        12,
        pytest.approx(values.mean()),
        pytest.approx(values.std(ddof=1)),
    )
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert mean_interval(np.array([2.0, np.nan])) == MeanInterval(1, 2.0)
    assert mean_interval(np.array([np.nan])) == MeanInterval(0, None)
    assert [MeanInterval(2, 1.0, 1.0, low, low + 1).sign for low in (0.1, -0.5, -1.1)] == [1, 0, -1]


def test_the_ranking_goes_by_what_a_step_on_the_auxiliary_does_to_the_target() -> None:
    # row: a step on; column: the loss of
    z = [[9.0, 1.0, 1.0], [2.0, 9.0, 7.0], [3.0, 8.0, 9.0]]
    found = made([z, (np.array(z) + 0.5).tolist()])
    assert [one.task for one in ranking(found, "a")] == ["c", "b"]
    assert [one.task for one in ranking(found, "c")] == ["b", "a"]
    assert ranking(found, "a")[0].lookahead.mean == 3.25
    undefined = made([[[9.0, 1.0, 1.0], [math.nan, 9.0, 7.0], [-3.0, 8.0, 9.0]]])
    assert [one.task for one in ranking(undefined, "a")] == ["c", "b"]


def test_the_json_leaves_out_what_a_task_does_to_itself_and_holds_no_nan() -> None:
    said = as_json(made([[[9.0, math.nan], [2.0, 9.0]]]), "a")
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["lookahead"]["a"].keys() == {"b"}
    assert said["lookahead"]["a"]["b"]["mean"] is None
    assert said["lookahead"]["b"]["a"]["mean"] == 2.0
    assert set(said["cosine"]) == {WHOLE, "layer 0"}


def ranked(n: int) -> Any:
    """n auxiliaries of target `a`, whose look-ahead gains rise and whose cosines fall."""
    z = [[0.0] * (n + 1) for _ in range(n + 1)]
    c = [[0.0] * (n + 1) for _ in range(n + 1)]
    for i in range(1, n + 1):
        z[i][0], c[i][0] = i / 10, -i / 10
    return ranking(made([z], [c]), "a")


def test_gains_in_the_order_of_the_affinity_have_rho_1_and_few_are_warned_of() -> None:
    found = correlate(ranked(4), dict(zip("bcde", (0.1, 0.3, 0.4, 2.0), strict=True)))
    assert found["lookahead"] == {"rho": pytest.approx(1.0), "p": pytest.approx(2 / 24)}
    assert found["cosine"]["rho"] == pytest.approx(-1.0)
    assert found["warning"] == "4 auxiliaries: no order of so few can reach a p below 0.083"
    assert correlate(ranked(5), dict.fromkeys("bcd", 1.0))["lookahead"] == {"rho": None, "p": None}


def test_rho_and_p_are_those_of_scipy() -> None:
    gains = dict(zip("bcdefghi", np.random.default_rng(5).normal(size=8).tolist(), strict=True))
    found = correlate(ranked(8), gains)
    wanted = stats.spearmanr(range(8), list(gains.values()))
    assert found["lookahead"]["rho"] == pytest.approx(wanted.statistic)
    assert found["lookahead"]["p"] == pytest.approx(wanted.pvalue, abs=0.05)
    assert found["warning"] == "8 auxiliaries: too few to trust a rank correlation"


@pytest.mark.parametrize(
    ("name", "text"),
    [("g.csv", "auxiliary,gain\nb,0.5\nc,-1\nd,2\n"), ("g.json", '{"b": 0.5, "c": -1, "d": 2}')],
)
def test_gains_are_read_from_csv_and_json(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_gains(tmp_path / name) == {"b": 0.5, "c": -1.0, "d": 2.0}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", "task,gain\nb,1\n", "holds no gains"),
        ("g.csv", "auxiliary,gain\nb,much\n", "the gain of 'b' is 'much'"),
        ("g.csv", "auxiliary,gain\nb,1\nb,2\n", "'b' stands twice"),
        ("g.csv", "auxiliary,gain\nb\n", "the gain of 'b' is None"),
        ("g.json", '{"b": NaN}', "the gain of 'b' is nan"),
        ("g.json", "[1]", "holds no gains"),
        ("g.json", "{", "cannot be read"),
    ],
)
def test_gains_that_do_not_read_are_an_error(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(EmomtlError, match=message):
        read_gains(tmp_path / name)


def test_gains_of_what_was_not_measured_or_of_too_few_are_an_error() -> None:
    with pytest.raises(EmomtlError, match="'x' is no auxiliary here"):
        correlate(ranked(4), {"b": 1.0, "x": 2.0, "c": 3.0})
    with pytest.raises(EmomtlError, match="2 auxiliaries have a gain"):
        correlate(ranked(4), {"b": 1.0, "c": 3.0})


def test_the_picture_is_drawn_with_undefined_numbers_and_odd_names(tmp_path: Path) -> None:
    z = [[0.0, math.nan, 0.2], [0.1, 0.0, -0.3], [math.nan, 0.5, 0.0]]
    found = made([z, (np.array(z) * 1.1).tolist()])
    tasks = ("$a_1^$", "_b", "c")
    odd = Affinity(tasks, found.steps, found.rate, found.measurements)
    save_picture(figure(odd, "c"), tmp_path / "x.png")
    assert all(
        (tmp_path / f"x.{ending}").stat().st_size > 5_000 for ending in ("png", "svg", "pdf")
    )


def test_the_command_prints_the_ranking_the_correlation_and_a_picture(
    desk: Any, cli: Any, tmp_path: Path
) -> None:
    third = {
        "use": "table",
        "source": str(desk.table("third", 30, ["joy", "fear"], seed=9)),
        "options": OPTIONS,
    }
    manifest = desk.manifest(tasks={**TWICE, "third": third}, **ALL)
    gains = tmp_path / "gains.csv"
    gains.write_text("auxiliary,gain\nagain,1.5\ntopics,0.1\nthird,-0.2\n")
    options = ("--steps", 4, "--every", 2)
    said = cli(
        "affinity",
        manifest,
        *options,
        "--target",
        "mood",
        "--gains",
        gains,
        "--out",
        tmp_path / "out",
    )
    assert said.code == 0, said.err
    assert "auxiliaries for mood, 2 measurement(s) up to step 4" in said.out
    assert all(task in said.out for task in ("again", "topics", "third"))
    assert "Spearman's rho" in said.out
    assert "no order of so few can reach a p below 0.33" in said.out
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {
        ".png",
        ".svg",
        ".pdf",
        ".json",
        ".md",
        ".csv",
    }
    of_mood = (manifest, *options, "--target", "mood")
    assert cli("analyse", "affinity", *of_mood).out == cli("affinity", *of_mood).out
    found = json.loads(cli("affinity", manifest, *options, "--json", "--target", "third").out)
    assert (found["target"], found["steps"], found["rate"]) == ("third", [2, 4], 1e-4)
    assert {one["auxiliary"] for one in found["ranking"]} == {"mood", "again", "topics"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "moood"), "'moood' is no task of this manifest (did you mean 'mood'?)"),
        (("--rate", "0"), "--rate: 0 is no step"),
        (("--steps", "3", "--every", "10"), "3 steps end before the first measurement"),
        (("--html", "no/where/x.html"), "does not exist"),
        (("--gains", "nowhere.csv"), "cannot be read"),
        (("--set", "train.lr=-1"), "--set train.lr"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_trained(
    desk: Any, cli: Any, options: Any, message: str
) -> None:
    said = cli("affinity", desk.manifest(**ALL), "--target", "mood", *options)
    assert said.code == 1
    assert message in said.err
    assert "measured after" not in said.err


def test_without_a_target_no_task_is_guessed(desk: Any, cli: Any) -> None:
    said = cli("affinity", desk.manifest(**ALL))
    assert said.code == 1
    assert "--target: the manifest names no task that is to be helped" in said.err
    assert "(one of mood, topics)" in said.err


def test_one_task_alone_has_no_auxiliaries(desk: Any, cli: Any) -> None:
    said = cli("affinity", desk.manifest(tasks={"topics": None}, **ALL))
    assert said.code == 1
    assert "one task alone has no auxiliaries" in said.err
