"""A study runs what is missing, shares what is equal, survives what fails, and tables what it has."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomli_w
from sklearn.metrics import f1_score

from emomtl.errors import EmomtlError
from emomtl.manifest import Manifest
from emomtl.metrics.tuning import fit_thresholds
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint
from emomtl.run.predictions import recorded_predictions
from emomtl.study import (
    Ended,
    InProcess,
    Job,
    Processes,
    StudyRequest,
    commands,
    plan_study,
    read_study,
    state_of,
)
from emomtl.study.gathering import gather
from emomtl.study.identity import _content, _digest
from emomtl.study.reading import laid_over
from emomtl.study.table import study_table

WriteStudy = Callable[..., Path]


def _plan(path: Path, scale: str | None = None) -> Any:
    return plan_study(
        StudyRequest(
            read_study(path, scale), path.parent / "out", path.parent / "runs", Plugins.discover()
        )
    )


def _jobs(path: Path) -> list[Job]:
    plan = _plan(path)
    return [
        Job(run.identity, str(run.manifest), str(run.folder), "mood", True) for run in plan.runs
    ]


def test_a_study_runs_every_row_with_every_seed_and_tables_it(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study()
    arguments = ("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")
    said = cli(*arguments, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    rows = {row["row"]: row for row in found["rows"]}
    assert [(row["state"], row["target_updates"]) for row in rows.values()] == [
        ("whole", {"1": 4, "2": 4})
    ] * 2
    for row in rows.values():
        assert all(set(figures) == {"1", "2"} for figures in row["figures"].values())
    assert rows["alone"]["comparison"] is None
    difference = rows["faster"]["comparison"]["difference"]["value"]
    means = [sum(row["figures"]["test/best"].values()) / 2 for row in rows.values()]
    assert difference == pytest.approx(means[1] - means[0])
    for name in ("table.md", "table.tex", "table.csv", "result.json"):
        assert "faster" in (path.parent / "out" / name).read_text(encoding="utf-8")

    times = {file: file.stat().st_mtime_ns for file in (path.parent / "runs").rglob("scores.json")}
    again = cli(*arguments, "--json")
    assert "4 runs: 4 done, 0 to do" in again.err
    assert json.loads(again.out) == found
    assert times == {
        file: file.stat().st_mtime_ns for file in (path.parent / "runs").rglob("scores.json")
    }


def test_a_study_of_an_error_says_that_less_is_better_and_gives_numbers_no_mcnemar(
    write_study: WriteStudy, cli: Any, desk: Any
) -> None:
    numbers = {"joy": "1.0", "anger": "-1.0", "sadness": "-0.5"}
    rows = (desk.folder / "mood.csv").read_text(encoding="utf-8").splitlines()
    cells = [row.split(",") for row in rows[1:]]
    lines = [rows[0], *(",".join((text, numbers[label], part)) for text, label, part in cells)]
    (desk.folder / "numbers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    mood = {"source": "numbers.csv", "head": {"use": "regression"}}
    shown = {
        "alone": {"tasks": {"mood": mood}},
        "faster": {"tasks": {"mood": mood}, "train": {"lr": 2e-3}},
    }
    path = write_study(rows=shown, metric="rmse")
    said = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--json"
    )
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["less_is_better"] is True
    comparison = found["rows"][1]["comparison"]
    assert comparison["p_mcnemar"] is None
    assert "rmse is an error: below 0 the row is better than 'alone'" in (
        path.parent / "out" / "table.md"
    ).read_text("utf-8")


def test_each_checkpoint_looks_at_test_once(write_study: WriteStudy) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    job = _jobs(path)[0]
    for _ in range(2):
        assert [
            event for event in InProcess().run([job]) if isinstance(event, Ended) and event.error
        ] == []
    scores = json.loads((Path(job.folder) / "scores.json").read_text(encoding="utf-8"))[
        "evaluations"
    ]
    looks = [entry["checkpoint"] for entry in scores if entry["split"] == "test"]
    assert len(looks) == len(set(looks)) >= 1
    assert all(entry["look"] == 1 for entry in scores if entry["split"] == "test")


def test_rows_that_are_equal_are_one_run_and_names_do_not_count(write_study: WriteStudy) -> None:
    rows = [
        {"name": "alone"},
        {"name": "the same", "manifest": {"train": {"lr": 1e-3}}, "metric": "top1_accuracy"},
        {"name": "other", "manifest": {"train": {"lr": 2e-3}}},
    ]
    plan = _plan(write_study(rows=rows))
    alone, same, other = (plan.of(row) for row in ("alone", "the same", "other"))
    assert [run.identity for run in alone] == [run.identity for run in same]
    assert [run.folder for run in alone] == [run.folder for run in same]
    assert not {run.identity for run in other} & {run.identity for run in alone}
    assert len({run.identity for run in plan.runs}) == 4


def test_another_study_finds_a_finished_run_under_another_row(write_study: WriteStudy) -> None:
    first = write_study(rows={"alone": {}}, seeds=[1])
    job = _jobs(first)[0]
    list(InProcess().run([job]))
    second = _plan(
        write_study(
            rows={"single-task": {}, "more": {"train": {"lr": 3e-3}}}, name="other", seeds=[1]
        )
    )
    assert str(second.of("single-task")[0].folder) == job.folder
    assert state_of(job) == "done"


def test_a_run_that_was_killed_is_gone_on_with(write_study: WriteStudy, desk: Any) -> None:
    from emomtl.train.loop import save
    from emomtl.train.step import try_step

    path = write_study(rows={"alone": {}}, seeds=[1])
    job = _jobs(path)[0]
    session = desk.begin(Path(job.manifest), job.folder)
    try_step(session)
    save(session, False)
    session.run.close()
    assert state_of(job) == "begun"
    assert [event.error for event in InProcess().run([job]) if isinstance(event, Ended)] == [None]
    assert state_of(job) == "done"
    starts = [
        line
        for line in (Path(job.folder) / "metrics.jsonl").read_text().splitlines()
        if '"start"' in line
    ]
    assert [json.loads(line)["step"] for line in starts] == [1]


def test_a_run_with_a_stage_before_it_is_two_runs_and_both_are_done(
    write_study: WriteStudy,
) -> None:
    path = write_study(rows={"pretrained": {"pretrain": {"on": ["mood"], "steps": 2}}}, seeds=[1])
    job = _jobs(path)[0]
    assert [event.error for event in InProcess().run([job]) if isinstance(event, Ended)] == [None]
    assert state_of(job) == "done"
    assert (Path(job.folder).parent / f"{Path(job.folder).name}-pretrain" / "run.json").is_file()


def test_one_run_that_fails_does_not_stop_the_others_and_the_table_says_so(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(rows={"alone": {}, "diverges": {"train": {"lr": 1e30}}}, seeds=[1])
    said = cli("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")
    assert said.code == 1
    assert "not finite" in said.err
    result = json.loads((path.parent / "out" / "result.json").read_text(encoding="utf-8"))
    assert [row["state"] for row in result["rows"]] == ["whole", "failed"]
    assert "failed" in said.out
    assert "seed 1" in said.out


def test_processes_give_the_same_runs_as_this_process(
    write_study: WriteStudy, desk: Any, contents: Any
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1, 2])
    jobs = _jobs(path)
    done = [event for event in Processes(2).run(jobs) if isinstance(event, Ended)]
    assert [event.error for event in done] == [None, None]
    other = [Job(job.key, job.manifest, f"{job.folder}-here", job.target, job.test) for job in jobs]
    assert [event.error for event in InProcess().run(other) if isinstance(event, Ended)] == [
        None,
        None,
    ]
    for one, two in zip(jobs, other, strict=True):
        assert contents(Path(one.folder))["tensors"] == contents(Path(two.folder))["tensors"]


def test_a_worker_that_is_killed_fails_its_run_alone_and_the_next_start_mends_it(
    write_study: WriteStudy,
) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1, 2])
    jobs = _jobs(path)
    ended: list[Ended] = []
    executor = Processes(1)
    for event in executor.run(jobs):
        if isinstance(event, Ended):
            ended.append(event)
        elif not ended:
            os.kill(executor._workers[0].process.pid, signal.SIGKILL)
    assert ["killed by signal 9" in str(event.error) for event in ended] == [True, False]
    assert [event.error for event in InProcess().run(jobs) if isinstance(event, Ended)] == [
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("number", "code_of_exit"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_workers_with_a_checkpoint(
    write_study: WriteStudy, number: int, code_of_exit: int
) -> None:
    path = write_study(
        rows={"long": {"train": {"target_updates": 5000}, "eval": {"every": 100_000}}}, seeds=[1]
    )
    arguments = [
        "study",
        str(path),
        "--out",
        str(path.parent / "out"),
        "--runs",
        str(path.parent / "runs"),
    ]
    # as a shell's `&` does
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    code = (
        f"{ignored}from emomtl.cli import main;"
        f" main({[*arguments, '--executor', 'processes', '--workers', '1']!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not list((path.parent / "runs").glob("*/checkpoints/last")):
        time.sleep(0.1)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # its worker ends with it
    assert process.returncode == code_of_exit, err
    job = _jobs(path)[0]
    assert state_of(job) == "begun"
    assert "SIGINT" in (Path(job.folder) / "log.txt").read_text(encoding="utf-8")


def test_the_printed_commands_do_what_the_study_does(write_study: WriteStudy, cli: Any) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    said = cli(
        "study",
        path,
        "--out",
        path.parent / "out",
        "--runs",
        path.parent / "runs",
        "--print-commands",
    )
    lines = [shlex.split(part) for part in said.out.strip().split(" && ")]
    assert [line[1] for line in lines] == ["train", "eval", "eval"]
    for line in lines:
        assert cli(*line[1:]).code == 0
    assert commands(_jobs(path)[0]) == []


def test_a_multi_label_target_has_a_row_for_what_tuning_alone_is_worth(
    write_study: WriteStudy, cli: Any
) -> None:
    change = {"train": {"target": "topics"}}
    path = write_study(
        rows={"alone": change, "faster": {"train": {"target": "topics", "lr": 2e-3}}},
        target="topics",
    )
    said = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--json"
    )
    assert said.code == 0, said.err
    rows = json.loads(said.out)["rows"]
    assert [row["row"] for row in rows] == [
        "alone",
        "faster",
        "alone, thresholds tuned on validation",
    ]
    tuned = rows[2]["figures"]
    for planned in _plan(path).of("alone"):
        for split in ("validation", "test"):
            scores = Run.open(planned.folder).scores()
            entry = next(
                entry for entry in scores if (entry["split"], entry["which"]) == (split, "best")
            )
            known = entry["tasks"]["topics"]["metrics"]["macro_f1_tuned_by_label"]
            assert tuned[f"{split}/best"][str(planned.seed)] == pytest.approx(known)
    assert rows[2]["comparison"]["seeds"] == 2
    assert rows[2]["figures"]["test/last"] == {}
    assert (
        "4 runs: 4 done"
        in cli("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs").err
    )


def test_axes_make_every_combination_and_a_scale_sets_the_updates_of_all(
    write_study: WriteStudy,
) -> None:
    axes = {
        "rate": [
            {"name": "slow", "manifest": {"train": {"lr": 1e-4}}},
            {"name": "fast", "manifest": {"train": {"lr": 1e-2}}},
        ],
        "weighting": [
            {"name": "equal"},
            {"name": "learned", "manifest": {"weighting": {"use": "uncertainty"}}},
        ],
    }
    scales = {"tiny": {"updates": 3, "seeds": [5]}, "full": {"updates": 30}}
    path = write_study(rows={}, axes=axes, scales=scales)
    plan = _plan(path)
    assert [run.row for run in plan.runs] == [
        "slow, equal",
        "slow, learned",
        "fast, equal",
        "fast, learned",
    ]
    assert {run.updates for run in plan.runs} == {3}
    assert {run.seed for run in plan.runs} == {5}
    assert {run.updates for run in _plan(path, "full").runs} == {30}


def test_rows_with_unequal_updates_of_the_target_are_refused_unless_allowed(
    write_study: WriteStudy,
) -> None:
    rows = {"alone": {}, "longer": {"train": {"target_updates": 8}}}
    with pytest.raises(EmomtlError, match=r"unequal updates \(alone: 4, longer: 8\)"):
        _plan(write_study(rows=rows))
    assert {run.updates for run in _plan(write_study(rows=rows, equal_updates=False)).runs} == {
        4,
        8,
    }


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"target": "moood"}, "did you mean 'mood'"),
        ({"metric": "macro_f2"}, "did you mean 'macro_f1'"),
        ({"reference": "alon"}, "did you mean 'alone'"),
        ({"scale": "big"}, "no [scales.big]"),
        ({"seeds": [1, 1]}, "each once"),
        ({"seed": [1]}, "unknown key"),
        ({"base": "missing.toml"}, "no such file"),
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "two rows are called 'a'"),
        ({"rows": [{"name": "a", "manifest": {"seed": 3}}]}, "which the study gives each run"),
        ({"rows": [{"name": "a", "manifest": {"train": {"learning_rate": 3}}}]}, "lr"),
        ({"rows": []}, "rows or axes"),
    ],
)
def test_what_is_wrong_with_a_study_is_said_with_a_remedy(
    write_study: WriteStudy, cli: Any, keys: Any, said: str
) -> None:
    path = write_study(**keys)
    found = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--plan"
    )
    assert found.code == 1
    assert said in found.err


def test_a_table_whose_use_changes_takes_no_old_options() -> None:
    base = {
        "sampler": {"use": "temperature", "temperature": 2.0},
        "train": {"lr": 1e-4, "steps": 3},
    }
    laid = laid_over(base, {"sampler": {"use": "uniform"}, "train": {"lr": 1e-3}})
    assert laid == {"sampler": {"use": "uniform"}, "train": {"lr": 1e-3, "steps": 3}}


def test_a_plan_says_what_there_is_to_do_and_runs_nothing(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study()
    said = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--plan"
    )
    assert (said.code, said.out.count("missing")) == (0, 4)
    assert not (path.parent / "runs").exists()


def test_a_study_measures_the_spaces_of_its_rows_over_seeds_and_only_when_runs_are_new(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(space={"limit": 40})
    arguments = ("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")
    said = cli(*arguments)
    assert said.code == 0, said.err
    assert "measuring" in said.err
    kept = path.parent / "out" / "embedding.json"
    found = json.loads(kept.read_text(encoding="utf-8"))
    assert found["reference"] == "alone"
    assert len(found["runs"]) == 4
    measure = "purity: label"
    alone, faster = (found["rows"][row][measure] for row in ("alone", "faster"))
    assert "difference" not in alone
    assert (alone["seeds"], faster["seeds"]) == (2, 2)
    assert faster["difference"]["value"] == pytest.approx(faster["value"] - alone["value"])
    assert (
        faster["difference"]["low"] <= faster["difference"]["value"] <= faster["difference"]["high"]
    )
    assert "the embedding spaces" in (path.parent / "out" / "table.md").read_text(encoding="utf-8")
    again = cli(*arguments)
    assert "measuring" not in again.err
    assert json.loads(kept.read_text(encoding="utf-8")) == found


def test_rows_of_other_tasks_stand_in_one_table_and_are_not_compared(
    write_study: WriteStudy, cli: Any
) -> None:
    rows = [
        {"name": "mood"},
        {"name": "mood, quickly", "manifest": {"train": {"lr": 2e-3}}},
        {
            "name": "topics",
            "target": "topics",
            "metric": "subset_accuracy",
            "published": {"Doe 2020": 0.5},
        },
    ]
    path = write_study(rows=rows, scales={"only": {"updates": 4}}, seeds=[1])
    said = cli(
        "study", path, "--out", path.parent / "out", "--runs", path.parent / "runs", "--json"
    )
    assert said.code == 0, said.err
    found = {row["row"]: row for row in json.loads(said.out)["rows"]}
    assert [(row["target"], row["metric"]) for row in found.values()] == [
        ("mood", "macro_f1"),
        ("mood", "macro_f1"),
        ("topics", "subset_accuracy"),
    ]
    assert found["topics"]["comparison"] is None
    assert found["mood, quickly"]["comparison"] is not None
    assert found["topics"]["target_updates"] == {"1": 4}
    own, figure = found["topics"]["own"], found["topics"]["figures"]["test/best"]["1"]
    assert own["value"] == pytest.approx(figure)
    assert own["low"] <= figure <= own["high"]
    table = (path.parent / "out" / "table.csv").read_text(encoding="utf-8")
    assert "subset_accuracy 0.5 (Doe 2020)" in table
    assert "topics/subset_accuracy" in table


def test_a_row_without_a_target_of_training_has_its_best_chosen_by_its_own(
    write_study: WriteStudy, desk: Any
) -> None:
    path = write_study(
        rows={"alone": {}, "named": {"eval": {"select": "mean"}}},
        target="topics",
        equal_updates=False,
        seeds=[1],
    )
    desk.manifest("base", train={"steps": 4})
    manifests = [Path(run.manifest).read_text(encoding="utf-8") for run in _plan(path).runs]
    assert [tomli.loads(text)["eval"]["select"] for text in manifests] == [
        "topics/macro_f1",
        "mean",
    ]


def test_a_key_that_comes_later_leaves_the_identity_of_runs_that_are_done() -> None:
    # defaults that have changed: with today's a run computes another thing
    then = {"loss_scale": "mean", "weighting_lr": 0.001}
    manifest = Manifest.model_validate(
        {"name": "any", "encoder": {"use": "minilm"}, "tasks": {"demo": {}}, "train": then}
    )
    before = "198d33b3cc6c003138aa0481009107ca0deac9ecc01571517302f45bffd6ec37"
    assert _digest(_content(manifest)) == before, (
        "name the new key in manifest/later.py, or studies run again what they have"
    )


def test_a_study_may_hold_its_base_itself(write_study: WriteStudy) -> None:
    path = write_study(rows={"alone": {}}, seeds=[1])
    text = path.read_text(encoding="utf-8")
    one = _plan(path).runs[0]
    base = tomli.loads((path.parent / "base.toml").read_text(encoding="utf-8"))
    content = tomli.loads(text) | {"manifest": base}
    del content["base"]
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    assert _plan(path).runs[0].identity == one.identity


def test_a_figure_that_a_row_lacks_is_named(write_study: WriteStudy) -> None:
    with pytest.raises(EmomtlError, match="'topics' has no figure 'rmse'"):
        _plan(
            write_study(
                rows=[{"name": "topics", "target": "topics", "metric": "rmse"}], equal_updates=False
            )
        )


def test_a_study_is_drawn_as_far_as_its_runs_have_come_and_none_is_started(
    write_study: WriteStudy, cli: Any
) -> None:
    path = write_study(seeds=[1])
    arguments = ("study", path, "--out", path.parent / "out", "--runs", path.parent / "runs")
    first, _ = _jobs(path)
    assert [event.error for event in InProcess().run([first]) if isinstance(event, Ended)] == [None]
    said = cli(*arguments, "--draw", "--json")
    assert said.code == 0, said.err
    assert [row["state"] for row in json.loads(said.out)["rows"]] == ["whole", "pending"]
    assert not Path(_jobs(path)[1].folder).exists()


def test_every_row_is_compared_at_thresholds_of_its_own_validation_rows(
    write_study: WriteStudy, cli: Any
) -> None:
    rows = {
        "alone": {"train": {"target": "topics"}},
        "faster": {"train": {"target": "topics", "lr": 2e-3}},
    }
    path = write_study(rows=rows, target="topics", metric="macro_f1_tuned")
    arguments = (
        "study",
        path,
        "--out",
        path.parent / "out",
        "--runs",
        path.parent / "runs",
        "--json",
    )
    said = cli(*arguments)
    assert said.code == 0, said.err
    found = json.loads(said.out)["rows"]
    assert [row["row"] for row in found] == ["alone", "faster"]
    assert all(set(figures) == {"1", "2"} for row in found for figures in row["figures"].values())
    for row, planned in zip(
        found * 2, sorted(_plan(path).runs, key=lambda run: run.seed), strict=True
    ):
        run = Run.open(planned.folder)
        best = find_checkpoint(run, "best").resolve().name
        validation, test = (
            recorded_predictions(run, split, best, "topics") for split in ("validation", "test")
        )
        assert validation is not None
        assert test is not None
        values = fit_thresholds(validation[1], validation[0], "global").values
        expected = f1_score(test[0], test[1] >= values, average="macro", zero_division=0)
        assert row["figures"]["test/best"][str(planned.seed)] == pytest.approx(expected)
        assert [entry["split"] for entry in run.scores() if entry["by"] == "eval"].count(
            "validation"
        ) == 0
    means = [sum(row["figures"]["test/best"].values()) / 2 for row in found]
    assert found[1]["comparison"]["difference"]["value"] == pytest.approx(means[1] - means[0])
    assert "each run at its own thresholds" in (path.parent / "out" / "table.md").read_text(
        encoding="utf-8"
    )

    # Runs of an older emomtl, which wrote down neither thresholds nor tuned metrics: the same, and
    # nothing is trained again.
    for planned in _plan(path).runs:
        (planned.folder / "thresholds.json").unlink()
        content = json.loads((planned.folder / "scores.json").read_text(encoding="utf-8"))
        for entry in content["evaluations"]:
            metrics = entry["tasks"]["topics"]["metrics"] if "topics" in entry["tasks"] else {}
            for name in [
                name for name in metrics if "_tuned" in name or "average_precision" in name
            ]:
                del metrics[name]
        del content["sha256"]
        (planned.folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    again = cli(*arguments)
    assert "4 runs: 4 done, 0 to do" in again.err
    assert json.loads(again.out)["rows"] == found
    path = write_study(rows=rows, target="topics", metric="macro_average_precision")
    ranked = json.loads(cli(*arguments).out)["rows"]
    assert [row["row"] for row in ranked] == ["alone", "faster"]
    assert all(set(figures) == {"1", "2"} for row in ranked for figures in row["figures"].values())
    assert ranked[1]["comparison"]["difference"]["low"] is not None


def test_a_table_at_one_fixed_threshold_says_so(write_study: WriteStudy) -> None:
    change = {"train": {"target": "topics"}}
    plan = _plan(
        write_study(
            rows={"alone": change, "faster": {"train": {**change["train"], "lr": 2e-3}}},
            target="topics",
        )
    )
    notes = study_table(gather(plan)).notes
    assert any('`metric = "macro_f1_tuned"` compares each row at its own' in note for note in notes)
    assert not any(
        "fixed threshold" in note for note in study_table(gather(_plan(write_study()))).notes
    )


def test_a_tuned_metric_that_there_is_not_is_refused_with_a_suggestion(
    write_study: WriteStudy,
) -> None:
    with pytest.raises(EmomtlError, match="has no figure 'macro_f1_tunned'"):
        _plan(
            write_study(
                rows={"alone": {"train": {"target": "topics"}}},
                target="topics",
                metric="macro_f1_tunned",
            )
        )
    with pytest.raises(EmomtlError, match="'mood' has no figure 'macro_f1_tuned'"):
        _plan(write_study(metric="macro_f1_tuned"))
