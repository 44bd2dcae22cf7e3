"""`emomtl data audit`: exit codes, what stands on stdout, and that a stranger's sensitive texts
stand nowhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emomtl.analyses.audit.findings import KINDS

PRIVATE = """
from emomtl import Example, Files, SingleLabel, Task, hookimpl


def read(row):
    return Example(row["text"], row["label"])


@hookimpl
def emomtl_tasks():
    return [Task("private", Files("*", split_column="part"), read, head=SingleLabel(), sensitive=True)]
"""


@pytest.fixture
def leaky(desk: Any) -> Any:
    """The desk with two test texts of `mood` in its own train, once in capitals."""
    path = desk.folder / "mood.csv"
    tests = [
        line.rsplit(",", 2) for line in path.read_text().splitlines() if line.endswith(",test")
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{tests[0][0]},joy,train\n{tests[1][0].upper()},joy,train\n")
    return desk


def test_a_leak_of_test_texts_exits_with_one(cli: Any, leaky: Any) -> None:
    html = leaky.folder / "audit.html"
    said = cli("data", "audit", leaky.manifest(), "--html", html)
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith(
        "error: test-in-train: 2 of 24 rows of mood test stand in mood train (1 in every character)"
        " (`[data] drop_leaks = true`"
    )
    assert "small: findings" in said.out
    assert "Texts in two splits" in said.out
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_allowed_or_dropped_leak_is_no_error(cli: Any, leaky: Any) -> None:
    quick = ("--no-near", "--no-noise", "--json")
    allowed = cli("data", "audit", leaky.manifest(), "--allow", "test-in-train", *quick)
    assert allowed.code == 0, allowed.err
    assert json.loads(allowed.out)["findings"][0]["kind"] == "test-in-train"
    dropped = cli("data", "audit", leaky.manifest(), "--set", "data.drop_leaks=true", *quick)
    assert dropped.code == 0, dropped.err
    assert (
        "note: mood: 2 training rows have a text of validation or test (mood test 2): left out of"
        " training" in dropped.err
    )
    assert "test-in-train" not in {one["kind"] for one in json.loads(dropped.out)["findings"]}


def test_json_names_rows_and_holds_no_text(cli: Any, leaky: Any) -> None:
    said = cli("data", "audit", leaky.manifest(), "--json")
    found = json.loads(said.out)
    leak = found["findings"][0]
    assert (leak["severity"], leak["kind"], leak["about"], leak["count"]) == (
        "error",
        "test-in-train",
        "mood",
        2,
    )
    assert leak["examples"][0]["rows"][1].startswith("mood train row ")
    texts = [
        line.rsplit(",", 2)[0] for line in (leaky.folder / "mood.csv").read_text().splitlines()[1:]
    ]
    assert not [text for text in texts if text in said.out]
    assert {table["title"] for table in found["tables"]} >= {
        "Rows and distinct texts",
        "Labels of mood",
        "Lengths",
    }


def test_parts_can_be_left_out(cli: Any, desk: Any) -> None:
    desk.table("mood", 150, ["joy", "anger", "sadness"], seed=1)
    titles = [
        {
            table["title"]
            for table in json.loads(cli("data", "audit", desk.manifest(), "--json", *flags).out)[
                "tables"
            ]
        }
        for flags in ((), ("--no-noise",))
    ]
    assert "Suspected label noise" in titles[0] - titles[1]
    assert (
        "near duplicates"
        not in cli("data", "audit", desk.manifest(), "--no-near", "--no-noise").err
    )


def test_wrong_options_are_refused_before_anything_is_read(cli: Any, desk: Any) -> None:
    said = cli("data", "audit", desk.manifest(), "--allow", "test-in-trian")
    assert (said.code, said.out) == (1, "")
    assert "no finding is called 'test-in-trian' (did you mean 'test-in-train'?)" in said.err
    said = cli("data", "audit", desk.manifest(), "--html", desk.folder / "no" / "a.html")
    assert (said.code, said.out) == (1, "")
    assert "--html: the folder" in said.err


def test_no_text_of_a_stranger_s_sensitive_task_stands_anywhere(cli: Any, desk: Any) -> None:
    secret = "zyxwv private words that nobody may read"
    rows = [
        f"{secret} {i % 40},{'joy' if i % 2 else 'anger'},{('train', 'validation', 'test')[i % 3]}"
        for i in range(120)
    ]
    rows += [
        f"{secret} \ufffd{mark} {i},{label},train"
        for i in range(60)
        for mark, label in ((":)", "joy"), ("", "anger"))
    ]
    rows += [f"{secret} 7,anger,train", f"{secret} 7,joy,train", f"{secret} ok,joy,test"]
    (desk.folder / "private.csv").write_text(
        "\n".join(["text,label,part", *rows, ""]), encoding="utf-8"
    )
    (desk.folder / "private.py").write_text(PRIVATE, encoding="utf-8")
    tasks = {"mood": None, "topics": None, "private": {"source": "private.csv"}}
    html = desk.folder / "audit.html"
    manifest = desk.manifest(plugins=["./private.py"], tasks=tasks)
    page = cli("data", "audit", manifest, "--html", html)
    assert page.code == 1
    out = cli("data", "audit", manifest, "--json").out
    assert {
        "test-in-train",
        "near-test-in-train",
        "conflicting-labels",
        "surface-shortcuts",
        "odd-texts",
    } <= {one["kind"] for one in json.loads(out)["findings"]}
    for text in (page.out, page.err, out, html.read_text(encoding="utf-8")):
        assert not [word for word in ("zyxwv", "nobody may read", ":)") if word in text]


def test_the_docs_name_every_kind_with_its_severity() -> None:
    page = (Path(__file__).parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
    assert [
        kind for kind, (severity, _) in KINDS.items() if f"| `{kind}` | {severity} |" not in page
    ] == []
