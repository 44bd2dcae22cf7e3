"""A model card says what a run is and what it is not for, and holds no text of a corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from emomtl.run import Run

SENSITIVE = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl


@hookimpl
def emomtl_tasks():
    return [
        Task(
            "posts",
            Files("mood.csv", columns=None, split_column="part"),
            lambda row: Example(row["text"], row["label"].split("|")[0]),
            Taxonomy(["joy", "anger", "sadness", "fear"]),
            head=SingleLabel(),
            sensitive=True,
            card="Posts of a forum.\\n\\nLicence: *none* stated <b>.",
        )
    ]
"""


def test_a_card_has_metadata_figures_with_intervals_and_limits(
    desk: Any, cli: Any, tmp_path: Path
) -> None:
    run = desk.train(desk.manifest())
    assert cli("eval", run.folder, "--split", "test").code == 0
    said = cli("report", run.folder, "--card", tmp_path / "README.md")
    assert said.code == 0, said.err
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    _, metadata, body = text.split("---\n", 2)
    found = yaml.safe_load(metadata)
    score = run.scores()[-1]["tasks"]["mood"]["metrics"]["macro_f1"]
    assert found["model-index"][0]["results"][0]["metrics"][0]["value"] == score
    assert json.loads(json.dumps(found))["library_name"] == "emomtl"
    assert " to " in body
    assert "## Limits" in body
    assert "## Safety" not in body


def test_a_sensitive_task_has_a_safety_note(
    desk: Any, cli: Any, install: Any, tmp_path: Path
) -> None:
    install("emomtl-posts", {"emomtl_posts": SENSITIVE}, {"posts": "emomtl_posts"})
    tasks = {"posts": {"source": "mood.csv"}, "mood": None, "topics": None}
    run: Run = desk.train(desk.manifest(tasks=tasks, sampler={"use": "uniform"}))
    said = cli("report", run.folder, "--card", tmp_path / "README.md")
    assert said.code == 0, said.err
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "`posts`, whose texts are about suicide" in text
    assert "answers not kept" not in text
    assert "<b>" not in text
    rows = (desk.folder / "mood.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert not any(row.split(",")[0] in text for row in rows)


def test_two_runs_have_no_common_card(desk: Any, cli: Any, tmp_path: Path) -> None:
    run = desk.train(desk.manifest())
    said = cli("report", run.folder, run.folder, "--card", tmp_path / "README.md")
    assert (said.code, "a card is of one run" in said.err) == (1, True)


def test_a_run_name_ends_no_code_block_of_its_card() -> None:
    from markdown_it import MarkdownIt

    from emomtl.analyses.card import _use

    page = MarkdownIt("commonmark").render(_use("x\n```\n<img src=x onerror=alert(1)>\n````\n"))
    assert "<img" not in page
    assert page.count("<pre>") == 1
    assert page.rstrip().endswith("</code></pre>")


@pytest.mark.parametrize(
    ("use", "base"),
    [
        ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("bert", "google-bert/bert-base-uncased"),
        ("somebody/their-encoder", "somebody/their-encoder"),
        ("./folder", None),
        ("own/encoder", None),
        ("/data/somewhere/encoder", None),
        ("unknown", None),
    ],
)
def test_the_base_model_is_a_hub_id_or_left_out(tmp_path: Path, use: str, base: str | None) -> None:
    from types import SimpleNamespace

    from emomtl.analyses.card import _base_model
    from emomtl.plugins.discovery import Plugins

    (tmp_path / "own" / "encoder").mkdir(parents=True)
    manifest = SimpleNamespace(encoder=SimpleNamespace(use=use))
    plan: Any = SimpleNamespace(manifest=manifest, plugins=Plugins.discover(), folder=tmp_path)
    assert _base_model(plan) == base


def test_brackets_of_a_corpus_s_card_stay_as_they_are() -> None:
    from emomtl.report.formats.markdown import escape

    assert (
        escape("Rows [1] and labels [a, b] of the corpus")
        == "Rows [1] and labels [a, b] of the corpus"
    )
    assert escape("a [link](http://x)") != "a [link](http://x)"
