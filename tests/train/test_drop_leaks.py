"""`[data] drop_leaks`: a run that trains on none of the texts that it scores, says what it left
out, and resumes as it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emomtl.run import Run, find_checkpoint

LEAKED = 5


@pytest.fixture
def leaky(desk: Any) -> Any:
    """The desk with LEAKED test texts of `mood` and one of its validation texts among the training
    rows of `topics`.
    """
    mood = [line.rsplit(",", 2) for line in (desk.folder / "mood.csv").read_text().splitlines()[1:]]
    tests = [text for text, _, part in mood if part == "test"][:LEAKED]
    validation = [text for text, _, part in mood if part == "validation"][:1]
    with (desk.folder / "topics.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{text.upper()},joy|fear,train\n" for text in [*tests, *validation])
    return desk


def manifest(desk: Any, drop: bool, **more: Any) -> Path:
    found: Path = desk.manifest("honest" if drop else "leaky", data={"drop_leaks": drop}, **more)
    return found


def test_a_run_without_leaks_says_in_its_environment_what_it_left_out(leaky: Any) -> None:
    kept = leaky.train(manifest(leaky, False), "kept")
    run = leaky.train(manifest(leaky, True), "honest")
    assert kept.environment["dropped_leaks"] == {}
    where = {"mood validation": 1, "mood test": LEAKED}
    assert run.environment["dropped_leaks"] == {
        "mood": {"rows": 0, "where": {}},
        "topics": {"rows": LEAKED + 1, "where": where},
    }
    assert run.environment["sizes"]["topics"] == kept.environment["sizes"]["topics"] - LEAKED - 1
    assert run.environment["data"] == kept.environment["data"]


def test_an_interrupted_honest_run_resumes_as_the_unbroken_one(leaky: Any, contents: Any) -> None:
    path = manifest(leaky, True, train={"steps": 4, "log_every": 1}, eval={"every": 2})
    unbroken = contents(leaky.train(path, "unbroken"))
    with pytest.raises(KeyboardInterrupt):
        leaky.train(path, "broken", plugins=leaky.stopping(step=2))
    assert find_checkpoint(Run.open(leaky.folder / "broken"), "last").name == "step-00000002"
    again = leaky.train(path, "broken", resume=True)
    assert contents(again) == unbroken
    assert again.environment["dropped_leaks"]["topics"]["rows"] == LEAKED + 1


def test_check_warns_of_leaks_and_is_content_once_they_are_dropped(leaky: Any, cli: Any) -> None:
    said = cli("check", manifest(leaky, False), "--no-step", "--json")
    assert said.code == 0, said.err
    where = f"mood validation 1, mood test {LEAKED}"
    assert (
        f"warning: topics: {LEAKED + 1} training rows have a text of validation or test ({where})"
        in said.err
    )
    assert "drop_leaks = true" in said.err
    assert json.loads(said.out)["leaks"]["topics"]["rows"] == LEAKED + 1
    honest = cli("check", manifest(leaky, True), "--no-step", "--json")
    assert "warning" not in honest.err
    assert "left out of training" in honest.err
    before, after = (json.loads(found.out)["tasks"]["topics"]["rows"] for found in (said, honest))
    assert before - after == LEAKED + 1


def test_check_is_silent_where_there_are_no_leaks(desk: Any, cli: Any) -> None:
    said = cli("check", desk.manifest(), "--no-step", "--json")
    assert "warning" not in said.err
    assert "leaks" not in json.loads(said.out)
