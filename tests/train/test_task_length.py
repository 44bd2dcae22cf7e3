"""Tasks whose texts are read at a length of their own: in training, scoring, predicting, checking,
and in the cache.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError
from emomtl.compose import compose_file
from emomtl.contracts.encoder import Truncation
from emomtl.plugins.discovery import Plugins
from emomtl.train.reading import read
from emomtl.train.step import moment_of, take_step

JOINT = {"use": "proportional", "per_step": "all"}


def lengths_of(session: Any) -> dict[str, int]:
    return {
        corpus.name: int(session.tokens[corpus.name, "train"].lengths.max())
        for corpus in session.data.corpora
    }


def test_a_task_reads_as_many_tokens_as_it_says(desk: Any) -> None:
    session = desk.begin(desk.manifest(tasks={"mood": {"max_tokens": 6}}, sampler=JOINT))
    session.run.close()
    assert lengths_of(session) == {"mood": 6, "topics": 16}
    parts = session.feeder.draw(session.plan.sampler, moment_of(session), session.state).micro[0]
    widths = {part.corpus: part.inputs["input_ids"].shape[1] for part in parts}
    assert widths["mood"] == 6
    assert widths["topics"] > 6
    assert set(take_step(session).losses) == {"mood", "topics"}


def test_what_is_left_out_is_the_encoder_s(desk: Any) -> None:
    plan = compose_file(
        desk.manifest(tasks={"mood": {"max_tokens": 16}, "topics": {"max_tokens": 32}}),
        [],
        Plugins.discover(),
    )
    assert plan.encoder.task_tokens == (("topics", 32),)
    assert plan.encoder.most_tokens == 32
    assert plan.encoder.for_task("mood").max_tokens == 16
    assert plan.encoder.for_task("topics").max_tokens == 32


def test_tasks_of_one_source_share_texts_only_at_one_length(desk: Any) -> None:
    own = {"use": "table", "source": "mood.csv", "options": {"split": "part"}}
    notes: list[str] = []

    class Hears(_display()):  # type: ignore[misc]  # a Display, imported late
        def note(self, line: str) -> None:
            notes.append(line)

    plan = compose_file(
        desk.manifest(tasks={"mine": {**own, "max_tokens": 6}, "like-mood": own}),
        [],
        Plugins.discover(),
    )
    data = read(plan, Hears())
    assert {corpus.tasks for corpus in data.corpora} == {
        ("mood", "like-mood"),
        ("topics",),
        ("mine",),
    }
    assert [line for line in notes if "read one source" in line] == [
        "mood and mine read one source at the encoder's max_tokens and 6 tokens: the encoder reads"
        " its texts twice"
    ]


def _display() -> Any:
    from emomtl.train import Display

    return Display


def test_scoring_and_predicting_read_at_the_task_s_length(desk: Any, cli: Any) -> None:
    """Two texts that differ only beyond the sixth token are one text for the task that reads six."""
    run = desk.train(desk.manifest(tasks={"mood": {"max_tokens": 6}}, sampler=JOINT))
    one, other = "the sad day was so very happy", "the sad day was so lonely angry"
    said = cli("predict", run.folder, one, other, "--json")
    assert said.code == 0, said.err
    answers = (
        [json.loads(line) for line in said.out.splitlines()]
        if "\n{" in said.out
        else json.loads(said.out)
    )
    first, second = (answer.get("answers", answer) for answer in answers)
    assert first["mood"]["probabilities"] == pytest.approx(
        second["mood"]["probabilities"], abs=1e-6
    )
    assert first["topics"]["probabilities"] != pytest.approx(
        second["topics"]["probabilities"], abs=1e-4
    )
    scored = cli("eval", run.folder, "--split", "validation", "--json")
    assert scored.code == 0, scored.err
    (trained,) = [
        entry for entry in run.scores() if entry["by"] == "train" and entry["which"] == "best"
    ]
    (later,) = [entry for entry in run.scores() if entry["by"] == "eval"]
    for task in ("mood", "topics"):
        assert later["tasks"][task]["metrics"] == pytest.approx(trained["tasks"][task]["metrics"])


def test_positions_that_the_encoder_lacks_are_refused_with_the_task(desk: Any) -> None:
    with pytest.raises(
        EmomtlError, match=r"tasks\.mood\.max_tokens: 4096 tokens, and .* has positions for \d+"
    ):
        desk.begin(desk.manifest(tasks={"mood": {"max_tokens": 4096}}))


def test_a_head_of_a_long_text_keeps_its_part_of_the_whole() -> None:
    both = Truncation("head+tail", 128)
    assert both.scaled(256, 512) == Truncation("head+tail", 64)
    assert both.scaled(1024, 512) == Truncation("head+tail", 256)
    assert both.scaled(4, 512) == Truncation("head+tail", 1)
    assert both.scaled(512, 512) is both
    assert Truncation("tail").scaled(8, 64) == Truncation("tail")


def test_a_resumed_run_reads_at_the_same_length(desk: Any) -> None:
    manifest = desk.manifest(tasks={"mood": {"max_tokens": 6}}, encoder={"truncate": "head+tail"})
    run = desk.train(manifest)
    session = desk.begin(manifest, resume=True)
    session.run.close()
    assert lengths_of(session)["mood"] == 6
    assert run.manifest.tasks["mood"].max_tokens == 6


def test_tokens_in_the_cache_are_told_apart_by_length(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emomtl.data.cache.tokens.FEWEST", 0)
    found = []
    for out, tokens in (("one", 6), ("two", 8), ("again", 6)):
        session = desk.begin(desk.manifest(tasks={"mood": {"max_tokens": tokens}}), out)
        session.run.close()
        found.append(session.tokens["mood", "train"])
    assert [int(tokens.lengths.max()) for tokens in found] == [6, 8, 6]
    assert np.array_equal(found[0].ids, found[2].ids)


def test_check_says_a_task_s_length(desk: Any, cli: Any) -> None:
    said = cli("check", desk.manifest(tasks={"mood": {"max_tokens": 6}}))
    assert said.code == 0, said.err
    assert "mood: 6 tokens of its texts are read" in said.err
