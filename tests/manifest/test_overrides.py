"""`--set` reads values as the file does, and says at `--set KEY` what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emomtl.manifest import apply_overrides, read_draft, read_manifest

START = 'name = "a"\n[encoder]\nuse = "e"\n[tasks.a-b]\n[train]\nlr = 1e-4\n'


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=1e-5", {"train": {"lr": 1e-5}}),
        (" train . lr = 3 ", {"train": {"lr": 3}}),
        ('tasks."a-b".weight=0.5', {"tasks": {"a-b": {"weight": 0.5}}}),
        ("tasks.'a=b'.source=x=y", {"tasks": {"a=b": {"source": "x=y"}}}),
        ('tasks."a\\"=".source=x', {"tasks": {'a"=': {"source": "x"}}}),
        ("encoder.use=google/bert_uncased", {"encoder": {"use": "google/bert_uncased"}}),
        ("encoder.use=two words", {"encoder": {"use": "two words"}}),
        ('encoder.use="3"', {"encoder": {"use": "3"}}),
        ("data.buckets=false", {"data": {"buckets": False}}),
        ("train.betas=[0.9, 0.95]", {"train": {"betas": [0.9, 0.95]}}),
        ("tasks.x={ use = 'y' }", {"tasks": {"x": {"use": "y"}}}),
        ("name=1\nseed = 2", {"name": "1\nseed = 2"}),
    ],
)
def test_a_value_is_toml_and_a_bare_word_is_text(override: str, expected: dict[str, Any]) -> None:
    assert apply_overrides({}, [override]) == (expected, [])


def test_the_data_that_is_given_stays_as_it_is() -> None:
    data = {"train": {"lr": 1.0}}
    changed, problems = apply_overrides(data, ["train.lr=2.0", "train.clip=1.0", "seed=3"])
    assert (changed, problems) == ({"train": {"lr": 2.0, "clip": 1.0}, "seed": 3}, [])
    assert data == {"train": {"lr": 1.0}}


@pytest.mark.parametrize(
    ("overrides", "place", "fragment"),
    [
        (["train.lr"], "--set train.lr", "has no value"),
        (["train.lr="], "--set train.lr", "has no value"),
        (["=3"], "--set", "is not a dotted key"),
        ([""], "--set", "has no value"),
        (["a b=3"], "--set a b", "is not a dotted key"),
        (["a..b=3"], "--set a..b", "is not a dotted key"),
        (["a\n[b]\nc=3"], "--set a\\n[b]\\nc", "is not a dotted key"),
        ([".".join("a" * 5000) + "=3"], "--set " + "a." * 39 + "a…", "is not a dotted key"),
        (["seed.x=3"], "--set seed.x", "'seed' is a value, not a table"),
        (["list.0=3"], "--set list.0", "set the whole list"),
        (["train.lr=1", "train.lr=2"], "--set train.lr", "is set twice"),
        (["train={ lr = 1 }", "train.lr=2"], "--set train.lr", "--set train"),
        (["train.lr=[1"], "--set train.lr", "does not read"),
        (["encoder.use='x"], "--set encoder.use", "does not read"),
        (["encoder.use=\udcff"], "--set encoder.use", "UTF-8"),
    ],
)
def test_an_override_that_cannot_be_applied_is_a_problem(
    overrides: list[str], place: str, fragment: str
) -> None:
    _, problems = apply_overrides({"seed": 1, "list": [1]}, overrides)
    assert [problem.place for problem in problems] == [place]
    assert fragment in str(problems[0])
    assert str(problems[0]).isprintable()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr=abc", "--set train.lr: found the text 'abc' (expected a number greater than 0)"),
        ("train.learning_rate=1", "--set train.learning_rate: unknown key (did you mean 'lr'?)"),
        ("train={ batch = 1 }", "--set train.batch: unknown key (did you mean 'batch_size'?)"),
        ("train.lr=nan", "--set train.lr: found the number nan (expected a number greater than 0)"),
        (
            "data.buckets=True",
            (
                "--set data.buckets: found the text 'True' (expected true or false; write true"
                " without quotes)"
            ),
        ),
        ("train=3", "--set train: found the whole number 3 (expected a table)"),
    ],
)
def test_a_wrong_value_from_the_command_line_is_placed_there(
    tmp_path: Path, override: str, message: str
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(START, encoding="utf-8")
    assert [str(problem) for problem in read_draft(path, [override]).problems] == [message]


def test_an_override_wins_over_the_file_and_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(START + 'steps = "many"\n', encoding="utf-8")
    manifest = read_manifest(path, ["train.steps=10", "train.lr=1e-5", "tasks.a-b.weight=2"])
    assert (manifest.train.steps, manifest.train.lr, manifest.tasks["a-b"].weight) == (
        10,
        1e-5,
        2.0,
    )


def test_file_and_overrides_are_complained_of_together(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(START + "clip = -1\n", encoding="utf-8")
    problems = read_draft(path, ["train.lr=abc", "seed", "x.y=1"]).problems
    assert {problem.place for problem in problems} == {
        "--set seed",
        "train.clip",
        "--set train.lr",
        "--set x",
    }
