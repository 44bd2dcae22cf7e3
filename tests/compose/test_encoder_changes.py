"""What a manifest says about sharing is resolved, or everything that is wrong with it is said with
its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError
from emomtl.compose import compose, compose_file
from emomtl.manifest import manifest_schema, read_manifest, write_manifest
from emomtl.plugins.discovery import Plugins


def problems(path: Path) -> dict[str, str]:
    with pytest.raises(EmomtlError) as caught:
        compose_file(path, [], Plugins.discover())
    assert all(problem.line is not None for problem in caught.value.problems)
    return {
        problem.place: f"{problem.found} ({problem.remedy})" for problem in caught.value.problems
    }


def test_complete_manifest_has_changes_with_options_in_order(desk: Any, tmp_path: Path) -> None:
    manifest = desk.manifest(encoder={"changes": [{"use": "gradual"}, {"use": "pals", "rank": 12}]})
    plan = compose_file(manifest, [], Plugins.discover())
    assert [(use.use, use.options) for use in plan.manifest.encoder.changes] == [
        ("gradual", {"start": 0, "until": 0.5, "by": "progress"}),
        ("pals", {"rank": 12, "heads": 6}),
    ]
    assert plan.per_task
    (tmp_path / "again.toml").write_text(write_manifest(plan.manifest), encoding="utf-8")
    again = read_manifest(tmp_path / "again.toml")
    assert again == plan.manifest
    assert compose(again, Plugins.discover(), tmp_path).manifest == plan.manifest


def test_a_change_can_be_set_from_the_command_line(desk: Any) -> None:
    plan = compose_file(
        desk.manifest(), ['encoder.changes=[{use="frozen", layers=1}]'], Plugins.discover()
    )
    assert plan.manifest.encoder.changes[0].options == {"layers": 1}
    assert not plan.per_task


def test_all_problems_of_changes_have_their_places(desk: Any) -> None:
    changes = [
        {"use": "pal"},
        {"use": "pals", "ranks": 3},
        {"use": "lora", "r": 0},
        {"use": "lora"},
        {"use": "frozen"},
        {"use": "gradual"},
    ]
    found = problems(desk.manifest(encoder={"changes": changes}))
    assert "did you mean 'pals'" in found["encoder.changes[0].use"]
    assert "did you mean 'rank'" in found["encoder.changes[1].ranks"]
    assert "encoder.changes[2].r" in found
    assert "'lora' changes the encoder already" in found["encoder.changes[3].use"]
    assert "nothing can be unfrozen gradually" in found["encoder.changes[5]"]
    assert len(found) == 5


def test_an_unfit_change_fails_before_a_folder_is_made(desk: Any) -> None:
    manifest = desk.manifest(encoder={"changes": [{"use": "frozen", "layers": 3}]})
    with pytest.raises(EmomtlError, match=r"encoder.changes\[0\].layers: the encoder has 2 layers"):
        desk.begin(manifest)
    assert not (desk.folder / "run").exists()


LABELS = ["joy", "anger", "sadness"]


@pytest.mark.parametrize(
    ("tie", "twin", "said"),
    [
        ("nowhere", {}, "'nowhere' is no task of this run"),
        ("twin", {}, "a task is tied to itself"),
        ("topics", {}, "the head of 'twin' is single-label, that of 'topics' multi-label"),
        (
            "mood",
            {"head": {"use": "single-label", "lr": 1e-3}},
            "lr or dropout of the head differ from those of 'mood'",
        ),
        (
            "mood",
            {"options": {"split": "part", "labels": LABELS[::-1]}},
            "the labels are those of 'mood' in another order",
        ),
        (
            "mood",
            {"options": {"split": "part", "labels": [*LABELS, "fear"]}},
            "the labels differ from those of 'mood': fear",
        ),
    ],
)
def test_a_tie_that_cannot_be_is_refused(
    desk: Any, tie: str, twin: dict[str, Any], said: str
) -> None:
    table = {
        "use": "table",
        "source": "mood.csv",
        "options": {"split": "part", "labels": LABELS},
        "tie": tie,
    }
    tasks = {"mood": {"options": {"split": "part", "labels": LABELS}}, "twin": table | twin}
    assert said in problems(desk.manifest(tasks=tasks))["tasks.twin.tie"]


def test_a_chain_of_ties_is_refused_with_its_last_head(desk: Any) -> None:
    one = {"use": "table", "source": "mood.csv", "options": {"split": "part"}}
    found = problems(
        desk.manifest(tasks={"twin": one | {"tie": "mood"}, "third": one | {"tie": "twin"}})
    )
    assert found == {
        "tasks.third.tie": "'twin' has no head of its own (tie = \"mood\", whose head it is)"
    }


def test_sst2_and_sentiment140_can_be_tied(corpora: Path, desk: Any) -> None:
    tasks = {
        "mood": None,
        "topics": None,
        "sst2": {"source": str(corpora / "sst2")},
        "sentiment140": {"tie": "sst2"},
    }
    tasks["sentiment140"]["source"] = str(corpora / "sentiment140")  # type: ignore[index]
    plan = compose_file(desk.manifest(tasks=tasks, eval={"select": None}), [], Plugins.discover())
    assert plan.ties == {"sentiment140": "sst2"}


def test_editors_are_told_the_options_of_each_change() -> None:
    offers = {name: offer.value for name, offer in Plugins.discover().offers("change").items()}
    items = manifest_schema({"change": offers})["$defs"]["EncoderTable"]["properties"]["changes"][
        "items"
    ]
    branches = {branch["title"]: branch["properties"] for branch in items["oneOf"]}
    assert {"pals", "lora", "frozen", "gradual", "another"} <= set(branches)
    assert set(branches["pals"]) == {"use", "rank", "heads"}
