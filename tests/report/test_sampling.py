"""Realised sampling beside what the sampler was to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from emomtl.manifest import EncoderTable, Manifest, SamplerTable, TaskTable, TrainTable
from emomtl.report.collect import RunResult, collect
from emomtl.report.sampling import expected_examples, sampling_table

Logged = list[tuple[int, list[float], list[int]]]


def a_result(
    logged: Logged, per_step: str = "one", own_batch: int | None = None, batch: int = 8
) -> RunResult:
    """A run of tasks a, b, ... that logged (steps since the last log, probabilities, updates since
    then).
    """
    names = "abcde"[: len(logged[0][1])]
    manifest = Manifest(
        name="r",
        encoder=EncoderTable(use="minilm"),
        tasks={name: TaskTable(batch_size=own_batch if name == "a" else None) for name in names},
        sampler=SamplerTable(per_step=per_step),
        train=TrainTable(steps=1, batch_size=batch),
    )
    step, updates, events = 0, dict.fromkeys(names, 0), []
    for n, probabilities, had in logged:
        step += n
        updates = {name: updates[name] + more for name, more in zip(names, had, strict=True)}
        counts = {name: number * batch for name, number in updates.items()}
        shares = dict(zip(names, probabilities, strict=True))
        events.append(
            {
                "step": step,
                "probabilities": shares,
                "updates": updates,
                "counts": counts,
                "losses": {},
                "weights": {},
            }
        )
    return RunResult("r", Path("r"), manifest, {"sizes": dict.fromkeys(names, 100)}, steps=events)


def rows_of(result: RunResult) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    (table,) = sampling_table([result])
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows], table.notes


@st.composite
def courses(draw: st.DrawFn) -> Logged:
    tasks = draw(st.integers(2, 4))
    logged = []
    for _ in range(draw(st.integers(1, 5))):
        parts = draw(st.lists(st.integers(1, 50), min_size=tasks, max_size=tasks))
        had = draw(st.lists(st.integers(0, 30), min_size=tasks, max_size=tasks))
        logged.append((max(1, sum(had)), [part / sum(parts) for part in parts], had))
    return logged


@given(courses())
def test_shares_and_chi_squared_are_what_anyone_would_compute(logged: Logged) -> None:
    rows, _ = rows_of(a_result(logged))
    steps, number = sum(n for n, _, _ in logged), sum(sum(had) for _, _, had in logged)
    statistic = 0.0
    for i, row in enumerate(rows):
        expected = sum(n * shares[i] for n, shares, _ in logged) / steps
        updates = sum(had[i] for _, _, had in logged)
        assert row["expected share"] == pytest.approx(expected)
        assert row["expected share of examples"] == pytest.approx(expected)
        assert row["updates"] == updates
        assert row["passes"] == pytest.approx(updates * 8 / 100)
        if number:
            assert row["share of updates"] == pytest.approx(updates / number)
            assert row["share of examples"] == pytest.approx(updates / number)
            statistic += (updates - expected * number) ** 2 / (expected * number)
        else:
            assert row["share of updates"] is None
            assert row["chi-squared p"] is None
    if number:
        assert rows[0]["chi-squared p"] == pytest.approx(
            chi2.sf(statistic, len(rows) - 1), abs=1e-9
        )


def test_a_task_with_a_batch_of_its_own_is_expected_to_have_it_in_every_joint_step() -> None:
    result = a_result([(10, [0.5, 0.125, 0.375], [10, 10, 10])], per_step="all", own_batch=20)
    assert expected_examples(result) == [{"a": 200.0, "b": 40.0, "c": 120.0}]
    rows, _ = rows_of(result)
    assert {row["chi-squared p"] for row in rows} == {"not applicable"}


def test_batch_sizes_enter_the_expected_examples_where_one_task_is_drawn() -> None:
    assert expected_examples(a_result([(10, [0.5, 0.5], [5, 5])], own_batch=24)) == [
        {"a": 120.0, "b": 40.0}
    ]


def test_it_is_said_where_probabilities_are_only_known_at_logged_steps() -> None:
    every_step = [(1, [0.5, 0.5], [1, 0]), (1, [0.5, 0.5], [0, 1])]
    assert not any("sampled at logged steps" in note for note in rows_of(a_result(every_step))[1])
    assert any(
        "sampled at logged steps" in note
        for note in rows_of(a_result([(9, [0.5, 0.5], [4, 5])]))[1]
    )


def test_turns_that_are_seen_at_logged_steps_only_are_not_tested() -> None:
    rows, notes = rows_of(a_result([(10, [0.0, 1.0], [5, 5]), (10, [0.0, 1.0], [5, 5])]))
    assert {row["chi-squared p"] for row in rows} == {"not applicable"}
    assert any("the sampler does not draw" in note for note in notes)


def test_turns_that_are_logged_at_every_step_fit_exactly() -> None:
    rows, _ = rows_of(a_result([(1, [1.0, 0.0], [1, 0]), (1, [0.0, 1.0], [0, 1])] * 10))
    assert {row["chi-squared p"] for row in rows} == {1.0}


def test_training_a_task_without_probability_has_p_0() -> None:
    rows, notes = rows_of(a_result([(1, [1.0, 0.0], [0, 1])]))
    assert {row["chi-squared p"] for row in rows} == {0.0}
    assert any("had no probability" in note for note in notes)


def test_a_run_that_logged_nothing_has_no_row(make: Callable[..., Path]) -> None:
    assert sampling_table(collect([make(steps=0)])) == []
    (table,) = sampling_table(collect([make("other"), make("none", steps=0)]))
    assert {row[0] for row in table.rows} == {"other"}
