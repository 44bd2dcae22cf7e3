"""The tables of scores: best and last both, one split each, nothing undefined passed off as 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emomtl.contracts.analysis import Table
from emomtl.errors import EmomtlError
from emomtl.manifest import EncoderTable, EvalTable, Manifest, TaskTable
from emomtl.report.cells import spelt
from emomtl.report.collect import RunResult, collect
from emomtl.report.html_page.sections import summary_of
from emomtl.report.pairs import pairs_table
from emomtl.report.scores import scored
from emomtl.report.tables import tables
from emomtl.run import Run

Maker = Callable[..., Path]


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def titled(made: list[Table], start: str) -> Table:
    (found,) = [table for table in made if table.title.startswith(start)]
    return found


def test_best_and_last_stand_side_by_side_with_the_split_and_rows_in_the_title(make: Maker) -> None:
    table = titled(tables(collect([make()])), "goemotions on")
    assert table.title == "goemotions on validation (200 rows)"
    rows = rows_of(table)
    assert [(row["checkpoint"], row["step"], row["macro_f1"]) for row in rows] == [
        ("best", 50, 0.4),
        ("last", 100, 0.3),
    ]
    assert table.columns[3:] == (
        *(
            "macro_f1",
            "micro_f1",
            "weighted_f1",
            "macro_precision",
            "macro_recall",
            "subset_accuracy",
        ),
        *("macro_f1_at_0.3", "micro_f1_at_0.3", "subset_accuracy_at_0.3", "ekman/macro_f1"),
    )


def test_each_kind_of_head_shows_its_own_metrics(make: Maker) -> None:
    made = tables(collect([make(sizes={"sst2": 10, "emobank": 10})]))
    assert titled(made, "sst2 on").columns[3:] == ("top1_accuracy", "macro_f1", "weighted_f1")
    dimensions = (
        "pearson_r",
        "pearson_r_valence",
        "pearson_r_arousal",
        "rmse",
        "rmse_valence",
        "rmse_arousal",
    )
    assert titled(made, "emobank on").columns[3:] == dimensions


def test_an_undefined_figure_is_none_and_reads_undefined_with_its_reason(make: Maker) -> None:
    made = tables(collect([make(best=None)]))
    table = titled(made, "goemotions on")
    assert rows_of(table)[0]["macro_f1"] is None
    assert spelt(None) == "undefined"
    assert (
        "both (best, last): no row has grief: left out of macro means where nothing was predicted"
        in table.notes
    )
    labels = titled(made, "By label: goemotions on")
    assert rows_of(labels)[1] == {
        "label": "grief",
        "support": 0,
        "predicted": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "f1_at_0.3": 0.1,
    }


def test_a_best_that_another_task_chose_is_said(make: Maker) -> None:
    made = tables(collect([make()]))
    assert (
        "both: its best checkpoint was chosen by goemotions/macro_f1"
        in titled(made, "goemotions on").notes
    )
    assert (
        "both: its best checkpoint was chosen by goemotions/macro_f1, not by this task"
        in titled(made, "sst2 on").notes
    )


def test_labels_are_tabled_for_the_best_checkpoint_and_each_grouping(make: Maker) -> None:
    titles = [
        table.title for table in tables(collect([make()])) if table.title.startswith("By label")
    ]
    assert titles == [
        "By label: goemotions on validation (200 rows), best checkpoint of both",
        "By label: goemotions, grouping ekman, on validation (200 rows), best checkpoint of both",
        "By label: sst2 on validation (100 rows), best checkpoint of both",
    ]


def test_runs_scored_on_different_rows_are_not_passed_off_as_comparable(
    make: Maker, scores: Any
) -> None:
    def fewer(task: str, value: float | None) -> dict[str, Any]:
        return {**scores(task, value), "rows": 50}

    table = titled(tables(collect([make(), make("small", scores=fewer)])), "goemotions on")
    assert table.title == "goemotions on validation (50 to 200 rows)"
    assert [row["rows"] for row in rows_of(table)] == [200, 200, 50, 50]
    assert any(
        note.startswith("warning: the runs were scored on different numbers of rows")
        for note in table.notes
    )


def test_every_run_without_test_scores_is_named_with_the_command_that_makes_them(
    make: Maker,
) -> None:
    folders = [make("one"), make("two"), make("seen", test=1)]
    with pytest.raises(EmomtlError) as caught:
        tables(collect(folders), "test")
    said = [(problem.place, problem.remedy) for problem in caught.value.problems]
    assert said == [(folder.name, f"emomtl eval {folder} --split test") for folder in folders[:2]]


def test_an_unknown_split_is_refused_with_a_suggestion(make: Maker) -> None:
    with pytest.raises(EmomtlError, match="did you mean 'test'"):
        tables(collect([make()]), "tset")


def test_validation_and_test_are_never_in_one_table(make: Maker) -> None:
    results = collect([make(test=1)])
    for split, value, other in (("validation", 0.4, "test"), ("test", 0.2, "validation")):
        made = tables(results, split)
        table = titled(made, "goemotions on")
        assert rows_of(table)[0]["macro_f1"] == value
        assert not [
            one.title for one in made if other in one.title and one.title != "Looks at test"
        ]


def test_an_evaluation_by_eval_does_not_change_the_validation_table(
    make: Maker, entry: Any, scores: Any
) -> None:
    folder = make()
    before = tables(collect([folder]))
    Run.open(folder).add_scores(
        entry("validation", "best", 50, "eval", {"goemotions": scores("goemotions", 0.9)})
    )
    assert tables(collect([folder])) == before
    with pytest.raises(EmomtlError, match="never evaluated on test"):
        tables(collect([folder]), "test")


def test_looks_at_test_are_counted_and_several_are_warned_of(make: Maker) -> None:
    assert not [
        table for table in tables(collect([make("never")])) if table.title == "Looks at test"
    ]
    once = titled(tables(collect([make("once", test=1)])), "Looks")
    assert rows_of(once) == [
        {"run": "once", "checkpoint": "step-00000050", "looks": 1, "tasks": "goemotions, sst2"}
    ]
    assert once.notes == ()
    often = titled(tables(collect([make("often", test=3)])), "Looks")
    assert rows_of(often)[0]["looks"] == 3
    assert often.notes[0].startswith("warning")


def test_the_newest_look_at_a_checkpoint_is_the_one_that_is_shown(
    make: Maker, entry: Any, scores: Any
) -> None:
    folder = make(test=1)
    Run.open(folder).add_scores(entry("test", "best", 50, "eval", {"sst2": scores("sst2", 0.9)}))
    made = tables(collect([folder]), "test")
    assert rows_of(titled(made, "sst2 on"))[0]["macro_f1"] == 0.9
    assert rows_of(titled(made, "goemotions on"))[0]["macro_f1"] == 0.2


def test_what_is_used_stands_with_its_options(make: Maker) -> None:
    (result,) = collect([make()])
    options = type(result.manifest.sampler)(use="temperature", per_step="one", temperature=2.0)
    manifest = result.manifest.model_copy(update={"sampler": options})
    (row,) = rows_of(titled(tables([replace(result, manifest=manifest)]), "Runs"))
    assert (row["sampler"], row["per_step"], row["seed"]) == (
        "temperature (temperature 2.0)",
        "one",
        17,
    )


def test_a_single_task_run_is_paired_with_the_multi_task_run_of_its_seed(make: Maker) -> None:
    singles = [
        make(f"alone-{seed}", sizes={"sst2": 1000}, steps=20, seed=seed, best=0.5)
        for seed in (1, 2)
    ]
    results = collect([*singles, make("both", seed=2, best=0.4)])
    table = titled(tables(results), "Single-task")
    assert table.title == "Single-task beside multi-task on validation (100 rows)"
    rows = rows_of(table)
    assert [(row["checkpoint"], row["single-task run"]) for row in rows] == [
        ("best", "alone-2"),
        ("last", "alone-2"),
    ]
    assert rows[0]["difference"] == pytest.approx(-0.1)
    assert any("one seed: a difference is not evidence" in note for note in table.notes)
    assert (
        "the best checkpoint of both was chosen by goemotions/macro_f1, not by sst2" in table.notes
    )


def test_unequal_updates_and_examples_of_the_target_are_warned_of(make: Maker) -> None:
    equal = [
        make("alone", sizes={"sst2": 1000}, steps=40),
        make("both", sizes={"sst2": 1000, "goemotions": 1000}, per_step="all", steps=40),
    ]
    fair = titled(tables(collect(equal)), "Single-task")
    assert not [note for note in fair.notes if "unequal" in note]
    uneven = titled(
        tables(collect([equal[0], make("short", per_step="all", steps=20)])), "Single-task"
    )
    assert "warning: unequal updates of sst2: 40 in alone, 20 in short" in uneven.notes
    assert any(
        note.startswith("warning: unequal examples of sst2: 320 in alone") for note in uneven.notes
    )


def test_no_pair_makes_no_table(make: Maker) -> None:
    results = collect([make("both"), make("alone", sizes={"emobank": 10})])
    assert not [table for table in tables(results) if table.title.startswith("Single-task")]


def a_result(name: str, tasks: dict[str, float | None], updates: int, seed: int) -> RunResult:
    manifest = Manifest(
        name=name,
        seed=seed,
        encoder=EncoderTable(use="minilm"),
        tasks={task: TaskTable() for task in tasks},
        eval=EvalTable(select=f"{next(iter(tasks))}/macro_f1"),
    )
    had = dict.fromkeys(tasks, updates)
    step = {
        "step": 1,
        "losses": {},
        "weights": {},
        "probabilities": {},
        "counts": had,
        "updates": had,
    }
    kept = {
        task: {"rows": 9, "metrics": {"macro_f1": value, "subset_accuracy": 0.0}}
        for task, value in tasks.items()
    }
    entry = {"split": "validation", "by": "train", "which": "best", "step": 1, "tasks": kept}
    return RunResult(name, Path(name), manifest, {}, evaluations=[entry], steps=[step])


value = st.none() | st.floats(0, 1)


@given(
    st.lists(value, min_size=1, max_size=3),
    st.lists(value, min_size=1, max_size=3),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_differences_are_what_anyone_would_compute(
    ones: list[Any], boths: list[Any], few: int, many: int
) -> None:
    results = [a_result(f"one-{i}", {"a": v}, few, 1) for i, v in enumerate(ones)]
    results += [a_result(f"both-{i}", {"b": 0.5, "a": v}, many, 1) for i, v in enumerate(boths)]
    (table,) = pairs_table(scored(results, "validation"), "validation")
    rows = rows_of(table)
    assert len(rows) == len(ones) * len(boths)
    for row in rows:
        single, multi = ones[int(row["single-task run"][4:])], boths[int(row["multi-task run"][5:])]
        expected = None if single is None or multi is None else multi - single
        assert (row["single-task"], row["multi-task"], row["difference"]) == (
            single,
            multi,
            expected,
        )
        assert (row["updates, single-task"], row["updates, multi-task"]) == (few, many)
    unequal = abs(few - many) / max(few, many) > 0.02
    assert any(note.startswith("warning: unequal updates of a") for note in table.notes) == unequal


def words(nll: float | None, said: bool = True) -> Callable[..., dict[str, Any]]:
    """Scores of a head whose main metric is an error; runs of old do not say that it is one."""
    more = {"main_metric": "masked_nll", "errors": ["masked_nll", "perplexity"]} if said else {}
    return lambda *_: {
        "rows": 9,
        "metrics": {"masked_nll": nll, "top1_accuracy": 0.1},
        "tables": {"": []},
        "undefined": [],
        **more,
    }


@pytest.mark.parametrize("said", [True, False])
def test_the_summary_takes_the_least_of_an_error(make: Maker, said: bool) -> None:
    runs = [
        make(name, sizes={"words": 9}, scores=words(nll, said))
        for name, nll in (("worse", 5.5), ("better", 5.25))
    ]
    summary = summary_of(collect(runs), "validation")
    assert (
        summary
        == "2 runs; best checkpoints on validation: words masked_nll 5.2500 (less is better)"
        " (better)."
    )


def test_the_summary_takes_the_error_of_a_head_of_somebody_else_and_names_what_is_undefined(
    make: Maker,
) -> None:
    def far(*_: Any) -> dict[str, Any]:
        metrics = {"macro_f1": 0.9, "top1_accuracy": 0.8, "distance": 0.25}
        return {
            "rows": 9,
            "metrics": metrics,
            "tables": {"": []},
            "main_metric": "distance",
            "errors": ["distance"],
        }

    assert "own distance 0.2500 (less is better)." in summary_of(
        collect([make("far", sizes={"own": 9}, scores=far)]), "validation"
    )
    nothing = make("nothing", sizes={"words": 9}, scores=words(None))
    assert summary_of(collect([nothing]), "validation").endswith(
        "on validation: words masked_nll undefined."
    )


def test_a_report_shows_the_metrics_that_a_head_names_and_its_main_one_on_groupings(
    make: Maker,
) -> None:
    def own(*_: Any) -> dict[str, Any]:
        metrics = dict.fromkeys(
            ("macro_f1", "top1_accuracy", "distance", "near/macro_f1", "near/distance"), 0.5
        )
        facts = {
            "main_metric": "distance",
            "errors": ["distance"],
            "headline": [],
            "reported": ["top1_accuracy"],
        }
        return {"rows": 9, "metrics": metrics, "tables": {"": [], "near": []}, **facts}

    table = titled(
        tables(collect([make("own", sizes={"own": 9}, scores=own, select="own/distance")])),
        "own on",
    )
    assert table.columns[3:] == ("top1_accuracy", "near/distance", "distance")


def test_runs_with_other_main_metrics_are_not_held_against_each_other(
    make: Maker, scores: Any
) -> None:
    numbers = make("numbers", sizes={"emobank": 9})
    labels = make("labels", sizes={"emobank": 9}, scores=lambda task, value: scores("sst2", 0.2))
    summary = summary_of(collect([numbers, labels]), "validation")
    assert "emobank pearson_r 0.4000 (numbers), emobank macro_f1 0.2000 (labels)" in summary


def test_a_pair_by_the_error_of_a_head_of_somebody_else_says_which_is_better(make: Maker) -> None:
    def far(task: str, value: float | None) -> dict[str, Any]:
        return {
            "rows": 9,
            "metrics": {"distance": value},
            "tables": {"": []},
            "main_metric": "distance",
            "errors": ["distance"],
        }

    runs = [
        make("one", sizes={"own": 9}, scores=far, select="own/distance"),
        make("two", sizes={"own": 9, "b": 9}, scores=far),
    ]
    (table,) = pairs_table(scored(collect(runs), "validation"), "validation")
    assert "distance is an error: below 0 the multi-task run is the better one" in table.notes


def test_best_and_last_are_one_row_where_they_are_one_checkpoint(
    make: Maker, entry: Any, scores: Any
) -> None:
    folder = make("one", sizes={"sst2": 100}, finished=False)
    with Run.open(folder) as run:
        for which in ("last", "best"):
            run.add_scores(entry("validation", which, 100, "train", {"sst2": scores("sst2", 0.5)}))
    rows = rows_of(titled(tables(collect([folder])), "sst2 on"))
    assert [(row["checkpoint"], row["step"], row["macro_f1"]) for row in rows] == [
        ("best, last", 100, 0.5)
    ]


def test_the_table_after_training_has_one_row_where_best_is_last() -> None:
    from emomtl.cli.output import scores_table
    from emomtl.contracts.heads import MetricFacts
    from emomtl.metrics.scoring import TaskScores

    facts = MetricFacts("macro_f1", headline=("macro_f1",))
    one, other = (TaskScores(8, {"macro_f1": value}, {"": []}, facts) for value in (0.5, 0.25))
    made = scores_table("t", {"last": {"a": one, "b": other}, "best": {"a": one, "b": one}})
    assert [list(row) for row in made.rows] == [
        ["a", "best, last", "8", "0.5000"],
        ["b", "best", "8", "0.5000"],
        ["b", "last", "8", "0.2500"],
    ]
