"""Rows drawn by the balance of their labels: the published formulas, exact expectations, resumable,
said beforehand.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, MultiLabel, SingleLabel, Taxonomy
from emomtl.compose import compose_file
from emomtl.data.batches import Stream, repeated
from emomtl.plugins.discovery import Plugins
from emomtl.train import loop, train
from emomtl.train.balance import labels_held, repeat_factors

FREQUENT = np.array([0] * 80 + [1] * 16 + [2] * 4)


def one_hot(labels: Any, number: int = 3) -> Any:
    return np.asarray(labels)[:, None] == np.arange(number)


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_single_labels_get_the_shares_of_kang_et_al(power: float) -> None:
    """Equation 1 of Kang et al. (2020): p_c = n_c^q / sum n^q with q = 1 - power; 1 makes all
    labels equal.
    """
    held, known = one_hot(FREQUENT), np.ones(100, bool)
    r = repeat_factors(held, known, power)
    drawn = np.array([r[label == FREQUENT].sum() for label in range(3)]) / r.sum()
    wanted = np.array([80, 16, 4]) ** (1 - power)
    assert drawn == pytest.approx(wanted / wanted.sum())


def test_several_labels_follow_lvis_row_by_row() -> None:
    """Written out from Gupta et al. (2019): r_i = max_c max(1, sqrt(t / f_c)), here f = (.5, .1,
    .05) of 20 rows, t = .2.
    """
    sets = [{0}] * 8 + [{0, 1}] * 2 + [{2}] + [set()] * 9
    held = np.array([[label in one for label in range(3)] for one in sets])
    r = repeat_factors(held, np.ones(20, bool), 0.5, below=0.2)
    assert r[:8] == pytest.approx(1.0)
    assert r[8:10] == pytest.approx((0.2 / 0.1) ** 0.5)
    assert r[10] == pytest.approx((0.2 / 0.05) ** 0.5)
    assert r[11:] == pytest.approx(1.0)


def test_rows_that_nobody_labelled_count_for_no_frequency_and_come_as_often_as_common_ones() -> (
    None
):
    held = np.concatenate([one_hot(FREQUENT), np.zeros((50, 3), bool)])
    known = np.concatenate([np.ones(100, bool), np.zeros(50, bool)])
    r = repeat_factors(held, known, 1.0)
    assert r[:100] == pytest.approx(repeat_factors(held[:100], known[:100], 1.0))
    assert r[100:] == pytest.approx(1.0)
    assert repeat_factors(np.zeros((3, 2), bool), np.zeros(3, bool), 1.0).tolist() == [
        1.0,
        1.0,
        1.0,
    ]


def test_targets_of_every_kind_are_read_as_labels() -> None:
    held, known = labels_held(SingleLabel(), np.array([1, -100, 0]), 2)
    assert held.tolist() == [[False, True], [False, False], [True, False]]
    assert known.tolist() == [True, False, True]
    targets = np.array([[1.0, np.nan], [np.nan, np.nan], [0.0, 1.0]], np.float32)
    held, known = labels_held(MultiLabel(), targets, 2)
    assert held.tolist() == [[True, False], [False, False], [False, True]]
    assert known.tolist() == [True, False, True]


def test_each_row_comes_as_often_as_its_repeat_factor_says() -> None:
    r = np.array([1.0] * 6 + [3.0, 2.5])
    expected = 8 * r / r.sum()
    had = np.zeros(8)
    for seed in range(4000):
        taken = np.bincount(repeated(r, np.random.default_rng(seed)), minlength=8)
        assert taken.sum() == 8
        assert (np.abs(taken - expected) < 1).all()
        had += taken
    assert had / 4000 == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("buckets", [False, True])
def test_a_balanced_stream_is_a_pure_function_of_its_position(buckets: bool) -> None:
    rows, lengths = np.arange(100, 140), np.arange(200) % 17
    r = np.linspace(1, 4, 40)

    def stream() -> Stream:
        return Stream("mood", rows, lengths, 7, 8, buckets, r)

    whole = stream().take(0, 200)
    assert np.array_equal(
        np.concatenate([stream().take(at, 25) for at in range(0, 200, 25)]), whole
    )
    assert set(whole) <= set(rows)
    assert not np.array_equal(whole[:40], whole[40:80])
    plain = Stream("mood", rows, lengths, 7, 8, buckets)
    assert sorted(plain.take(0, 40)) == rows.tolist()


def rare(desk: Any) -> dict[str, Any]:
    """A task of 80 rows of joy, 15 of anger and 5 of fear."""
    lines = ["text,label,part"]
    for place in range(160):
        part = "train" if place < 100 else "validation" if place % 2 else "test"
        label = "joy" if place % 100 < 80 else "anger" if place % 100 < 95 else "fear"
        if place >= 100:
            label = ("joy", "anger", "fear")[place % 3]
        lines.append(f"text {label} number {place},{label},{part}")
    (desk.folder / "rare.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"use": "table", "source": "rare.csv", "options": {"split": "part"}, "balance": 1.0}


@pytest.mark.parametrize("way", ["one", "all"])
def test_a_run_draws_labels_as_check_says(desk: Any, cli: Any, way: str) -> None:
    tasks = {"rare": rare(desk), "mood": None}
    manifest = desk.manifest(tasks=tasks, sampler={"use": "uniform", "per_step": way})
    said = cli("check", manifest, "--no-step", "--json")
    assert said.code == 0, said.err
    shares = json.loads(said.out)["label_shares"]["rare"]
    assert [shares[label][0] for label in ("joy", "anger", "fear")] == pytest.approx(
        [0.8, 0.15, 0.05]
    )
    assert [shares[label][1] for label in ("joy", "anger", "fear")] == pytest.approx([1 / 3] * 3)
    assert "rows are drawn by the balance" in cli("check", manifest, "--no-step").out
    session = desk.begin(manifest)
    session.run.close()
    drawn = session.feeder.streams["rare"].take(0, 3000)
    names = session.data.taxonomies["rare"].names
    counted = Counter(names[target] for target in session.feeder.targets["rare"][drawn])
    assert {label: n / 3000 for label, n in counted.items()} == pytest.approx(
        dict.fromkeys(names, 1 / 3), abs=0.02
    )


def test_a_resumed_run_draws_the_same_rows(
    desk: Any, contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = desk.manifest(tasks={"rare": rare(desk)}, train={"steps": 4})
    whole = desk.train(manifest, "whole")
    session = desk.begin(manifest, "cut")
    save = loop.save

    def stopping(one: Any, improved: bool) -> None:
        save(one, improved)
        if one.state.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(session)
    monkeypatch.undo()
    cut = desk.train(manifest, "cut", resume=True)
    assert contents(whole)["tensors"] == contents(cut)["tensors"]


def test_two_balances_of_the_same_texts_in_one_step_are_refused(desk: Any) -> None:
    one = rare(desk)
    two = {**one, "balance": 0.5}
    tasks = {"rare": one, "other": two, "mood": None, "topics": None}
    with pytest.raises(
        EmomtlError,
        match=r"rare and other read the same texts in every step, and each wants them drawn",
    ):
        desk.begin(desk.manifest(tasks=tasks, sampler={"per_step": "all"}), "all")
    desk.begin(desk.manifest(tasks=tasks, sampler={"per_step": "one"}), "one").run.close()


def test_a_task_that_shares_a_balanced_one_s_texts_is_said(desk: Any, cli: Any) -> None:
    one = rare(desk)
    two = {key: value for key, value in one.items() if key != "balance"}
    said = cli(
        "check",
        desk.manifest(tasks={"rare": one, "other": two}, sampler={"per_step": "all"}),
        "--no-step",
    )
    assert said.code == 0, said.err
    assert "other: rows are drawn by the balance of rare's labels" in said.err


def test_numbers_have_no_balance_and_a_threshold_alone_means_nothing(desk: Any) -> None:
    with pytest.raises(EmomtlError) as error:
        compose_file(desk.manifest(tasks={"mood": {"balance_below": 0.1}}), [], Plugins.discover())
    assert (
        "tasks.mood.balance_below: says which labels are rare for `balance`, which is not given"
        in str(error.value)
    )
    table = {"balance": 0.5, "head": {"use": "regression", "dimensions": ["v"]}}
    with pytest.raises(EmomtlError):
        compose_file(desk.manifest(tasks={"mood": table}), [], Plugins.discover())


def test_taxonomies_of_two_labels_balance_too() -> None:
    assert len(Taxonomy(["yes", "no"])) == 2
    r = repeat_factors(one_hot([0] * 9 + [1], 2), np.ones(10, bool), 1.0)
    assert r.tolist() == [1.0] * 9 + [9.0]
