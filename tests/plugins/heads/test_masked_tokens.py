"""Masked language modelling: what is hidden, what it costs beside BERT's own code, that it learns,
and what it leaves alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from emomtl import EmomtlError, Vocabulary
from emomtl.contracts.heads import prepare_fixed
from emomtl.plugins.discovery import Plugins
from emomtl.seeds import generator
from emomtl_plugins.heads.masked_tokens import MISSING, MaskedTokens, MaskedTokensTask

SPECIAL = frozenset({0, 1, 2, 3, 4})
VOCABULARY = Vocabulary(size=1000, rows=1000, width=32, mask=4, special=SPECIAL)
WORDS = {"words": {"use": "masked-tokens", "options": {"of": "mood"}}}


def texts(n: int, length: int, seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """n texts of 3 to `length` tokens: id 2, words, id 3, and padding behind."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, length + 1, size=n)
    ids = draw.integers(5, VOCABULARY.size, size=(n, length))
    inside = np.arange(length)[None, :] < lengths[:, None]
    ids[~inside] = 0
    ids[:, 0], ids[np.arange(n), lengths - 1] = 2, 3
    return {"input_ids": ids, "attention_mask": inside.astype(np.int64)}


def within(hits: int, of: int, p: float) -> bool:
    """Whether a count lies in the central 99.9% of a binomial distribution."""
    low, high = binom.interval(0.999, of, p)
    return bool(low <= hits <= high)


@pytest.mark.parametrize(
    "head",
    [MaskedTokens(), MaskedTokens(share=0.4, mask=0.5, random=0.5)],
    ids=["as published", "other"],
)
def test_tokens_are_masked_replaced_and_kept_by_their_shares(head: MaskedTokens) -> None:
    inputs = texts(2000, 40)
    made, targets = head.prepare(inputs, VOCABULARY, generator(3))
    words = (inputs["attention_mask"] == 1) & ~np.isin(inputs["input_ids"], list(SPECIAL))
    chosen = targets != MISSING
    assert within(int(chosen.sum()), int(words.sum()), head.share)
    was, now = inputs["input_ids"][chosen], made["input_ids"][chosen]
    same = head.random / VOCABULARY.size  # a random word may be the word itself, or the mask token
    kept = 1 - head.mask - head.random
    for hits, p in (
        (now == 4, head.mask + same),
        (now == was, kept + same),
        ((now != was) & (now != 4), head.random - 2 * same),
    ):
        assert within(int(hits.sum()), int(chosen.sum()), p)
    replaced = now[(now != was) & (now != 4)]
    low, high = binom.interval(0.999, len(replaced), 0.5)
    assert low <= (replaced < VOCABULARY.size / 2).sum() <= high, (
        "replacements come from the whole vocabulary"
    )


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 6),
    length=st.integers(3, 12),
    seed=st.integers(0, 99),
    share=st.floats(0.01, 0.99),
    mask=st.floats(0, 1),
)
def test_only_words_are_chosen_and_whatever_is_not_chosen_stays(
    n: int, length: int, seed: int, share: float, mask: float
) -> None:
    inputs = texts(n, length, seed)
    before = inputs["input_ids"].copy()
    made, targets = MaskedTokens(share=share, mask=mask, random=1 - mask).prepare(
        inputs, VOCABULARY, generator(seed)
    )
    chosen = targets != MISSING
    assert not (chosen & np.isin(before, list(SPECIAL))).any()
    assert not (chosen & (inputs["attention_mask"] == 0)).any()
    assert (made["input_ids"][~chosen] == before[~chosen]).all()
    assert (targets[chosen] == before[chosen]).all()
    assert (inputs["input_ids"] == before).all()


def test_scoring_masks_depend_on_the_text_alone() -> None:
    inputs = texts(30, 40)
    made, targets = prepare_fixed(MaskedTokens(), inputs, VOCABULARY)
    for rows in ([3], [3, 7, 29], list(range(10, 20))):
        length = int(inputs["attention_mask"][rows].sum(axis=1).max())
        part = {name: array[rows][:, :length] for name, array in inputs.items()}
        again, wanted = prepare_fixed(MaskedTokens(), part, VOCABULARY)
        assert (again["input_ids"] == made["input_ids"][rows][:, :length]).all()
        assert (wanted == targets[rows][:, :length]).all()
    assert len({tuple(np.flatnonzero(row != MISSING)) for row in targets}) > 10, (
        "texts do not share a pattern"
    )


def test_loss_and_gradients_are_those_of_transformers_masked_language_model() -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        attn_implementation="eager",
    )
    torch.manual_seed(2)
    theirs = BertForMaskedLM(config).eval()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    small = Vocabulary(100, 100, 16, 4, SPECIAL)
    ours: Any = MaskedTokens().build_on_tokens(16, small)
    transform = theirs.cls.predictions.transform
    ours.load_state_dict(
        {
            "dense.weight": transform.dense.weight,
            "dense.bias": transform.dense.bias,
            "norm.weight": transform.LayerNorm.weight,
            "norm.bias": transform.LayerNorm.bias,
            "bias": theirs.cls.predictions.bias,
        }
    )
    inputs = texts(8, 12)
    inputs["input_ids"] = np.where(
        inputs["input_ids"] > 4, inputs["input_ids"] % 95 + 5, inputs["input_ids"]
    )
    made, targets = MaskedTokens(share=0.3).prepare(inputs, small, generator(5))
    tensors = {name: torch.from_numpy(array) for name, array in made.items()}
    wanted = torch.from_numpy(targets)
    expected = theirs(**tensors, labels=wanted).loss
    words = theirs.get_input_embeddings().weight
    (of_words,) = torch.autograd.grad(expected, [words], retain_graph=True)
    figures = ours(theirs.bert(**tensors).last_hidden_state, wanted, words)
    loss = MaskedTokens().loss(figures, wanted)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, [words])[0], of_words)
    expected = expected.detach()
    metrics = MaskedTokens().metrics(np.zeros(8), figures.detach().numpy())
    logits = theirs(**tensors).logits[wanted != MISSING]
    right = (logits.argmax(dim=1) == wanted[wanted != MISSING]).float().mean()
    assert metrics["masked_nll"] == pytest.approx(float(expected), rel=1e-6)
    assert metrics["perplexity"] == pytest.approx(float(expected.exp()), rel=1e-5)
    assert metrics["top1_accuracy"] == pytest.approx(float(right))


def test_the_head_starts_from_the_encoders_own_head(desk: Any) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig, BertForMaskedLM

    shutil.copytree(desk.encoder, desk.folder / "bert")
    torch.manual_seed(4)
    theirs = BertForMaskedLM(BertConfig.from_pretrained(desk.encoder)).eval()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    theirs.save_pretrained(desk.folder / "bert")
    for kind in ("new names", "old names"):
        session = desk.begin(desk.manifest(encoder={"use": "bert"}, tasks=WORDS), kind)
        session.run.close()
        assert session.run.environment["encoder_heads"] == ["words"]
        head: Any = session.model.heads["words"]
        assert torch.equal(head.dense.weight, theirs.cls.predictions.transform.dense.weight)
        assert torch.equal(head.norm.bias, theirs.cls.predictions.transform.LayerNorm.bias)
        assert torch.equal(head.bias, theirs.cls.predictions.bias)
        file = desk.folder / "bert" / "model.safetensors"
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor
            for name, tensor in load_file(file).items()
        }
        save_file(
            {name.replace("LayerNorm.bias", "LayerNorm.beta"): t for name, t in old.items()},
            file,
            {"format": "pt"},
        )
    fresh = desk.begin(desk.manifest(tasks=WORDS), "fresh")
    fresh.run.close()
    assert "encoder_heads" not in fresh.run.environment


def test_figures_without_any_chosen_token_are_undefined_and_cost_nothing() -> None:
    head = MaskedTokens()
    assert set(head.metrics(np.zeros(2), np.zeros((2, 3))).values()) == {None}
    module = head.build_on_tokens(8, VOCABULARY)
    nothing = torch.full((2, 5), MISSING)
    loss = head.loss(module(torch.randn(2, 5, 8), nothing, torch.randn(1000, 32)), nothing)
    assert loss.item() == 0.0
    loss.backward()


def test_options_that_are_more_than_the_whole_are_refused(desk: Any) -> None:
    from emomtl.compose import compose_file

    words = {**WORDS["words"], "head": {"mask": 0.8, "random": 0.3}}
    with pytest.raises(EmomtlError, match=r"tasks\.words\.head.*sum to more than 1"):
        compose_file(desk.manifest(tasks={"words": words}), [], Plugins.discover())


def test_a_tiny_encoder_learns_to_predict_masked_words(desk: Any) -> None:
    words = ["love", "hate", "joy", "home", "work", "dark", "cat", "dog"]
    draw = np.random.default_rng(1)
    lines = ["text,label,part"]
    for number in range(160):
        word = words[int(draw.integers(8))]
        lines.append(
            f"{' '.join([word] * 8)},{'ab'[number % 2]},{'train' if number < 128 else 'validation'}"
        )
    (desk.folder / "echo.csv").write_text("\n".join(lines) + "\n")
    echo = {"use": "table", "source": "echo.csv", "options": {"split": "part"}, "trained": False}
    tasks = {
        "mood": None,
        "topics": None,
        "echo": echo,
        "words": {"use": "masked-tokens", "options": {"of": "echo"}},
    }
    train = {"steps": 150, "batch_size": 32, "lr": 5e-3, "log_every": 50}
    manifest = desk.manifest(
        tasks=tasks, train=train, eval={"every": 150}, checkpoint=None, weighting={"use": "equal"}
    )
    run = desk.train(manifest)
    scores = run.scores()[-1]["tasks"]["words"]["metrics"]
    assert scores["top1_accuracy"] > 0.9
    assert scores["masked_nll"] < 1.0, "of eight words alike, one costs 2.08"
    assert run.manifest.eval.select == "words/masked_nll"
    logged = [event["losses"]["words"] for event in run.events() if event["event"] == "step"]
    assert logged[0] > 2 * logged[-1]


def test_the_best_checkpoint_is_the_one_with_the_least_loss(desk: Any) -> None:
    run = desk.train(
        desk.manifest(
            tasks={"mood": {"trained": False}, "topics": None, **WORDS}, train={"steps": 9}
        )
    )
    validations = {
        event["step"]: event["selected"] for event in run.events() if event["event"] == "evaluation"
    }
    best = next(entry for entry in run.scores() if entry["which"] == "best")
    assert len(validations) == 3
    assert best["step"] == min(validations, key=lambda step: validations[step])


@pytest.mark.parametrize("way", ["one", "all"])
def test_masks_are_drawn_anew_for_this_task_alone(desk: Any, way: str) -> None:
    from dataclasses import replace

    from emomtl import Moment

    session = desk.begin(desk.manifest(tasks=WORDS, sampler={"use": "uniform", "per_step": way}))
    session.run.close()
    mask, seen = session.feeder.vocabulary.mask, 0
    state = session.state
    moment = Moment(0, 0.0, 0, 1, session.data.sizes, joint=way == "all", seed=5)
    for step in range(12):
        here = replace(moment, step=step)
        drawing = session.feeder.draw(session.plan.sampler, here, state)
        for part in drawing.micro[0]:
            hidden = (part.inputs["input_ids"] == mask).any()
            assert part.tokens == (set(part.targets) == {"words"})
            assert part.tokens or not hidden
            seen += bool(part.tokens and hidden)
        again = session.feeder.draw(session.plan.sampler, here, state)
        other = session.feeder.draw(session.plan.sampler, replace(moment, step=step + 100), state)
        for parts in zip(drawing.micro[0], again.micro[0], strict=True):
            assert all(
                (parts[0].inputs[name] == parts[1].inputs[name]).all() for name in parts[0].inputs
            )
        if way == "all":
            mine, theirs = (
                next(p for p in made.micro[0] if p.tokens).targets["words"]
                for made in (drawing, other)
            )
            assert mine.shape != theirs.shape or (mine != theirs).any()
    assert seen > 2


def test_the_forecast_counts_the_masked_copy(desk: Any, cli: Any) -> None:
    from emomtl.train import train

    sampler, steps = {"use": "uniform", "per_step": "all"}, {"steps": 60}
    manifest = desk.manifest(
        tasks=WORDS, sampler=sampler, train=steps, eval={"every": 60}, checkpoint={"every": 60}
    )
    foretold = json.loads(cli("check", manifest, "--json", "--no-step").out)
    assert foretold["tasks"]["words"]["labels"] == 0
    session, read = desk.begin(manifest), []
    session.phases.saw = lambda drawing: read.extend(
        part.inputs["attention_mask"].sum() for part in drawing.micro[0]
    )
    train(session)
    assert foretold["tokens"] == pytest.approx(sum(read), rel=0.05)


def test_other_tasks_of_the_corpus_learn_the_same(desk: Any) -> None:
    from emomtl.train.step import try_step

    alone = desk.begin(
        desk.manifest(
            "alone", encoder={"dropout": 0.0}, sampler={"use": "uniform", "per_step": "all"}
        ),
        "alone",
    )
    beside = desk.begin(
        desk.manifest(
            "beside",
            encoder={"dropout": 0.0},
            tasks=WORDS,
            sampler={"use": "uniform", "per_step": "all"},
        ),
        "beside",
    )
    for session in (alone, beside):
        session.run.close()
        session.model.eval()
    one, both = try_step(alone), try_step(beside)
    assert {task: both[task] for task in one} == pytest.approx(one, rel=1e-6)


def test_masked_scores_do_not_depend_on_the_seed(desk: Any) -> None:
    found = []
    for name, changes in {
        "a": {"eval": {"batch_size": 64}},
        "b": {"eval": {"batch_size": 3}},
        "c": {"seed": 99},
    }.items():
        session = desk.begin(desk.manifest(name, tasks=WORDS, **changes), name)
        session.run.close()
        torch.nn.init.constant_(session.model.heads["words"].dense.weight, 0.01)
        scored = session.evaluator.evaluate(
            session.plan.tasks, session.data, session.tokens, "validation"
        )
        found.append(scored.scores["words"].metrics)
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-5)


PAIRS = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl

def read(row):
    label = "true" if row["label"] == "joy" else "false"
    return Example(row["text"], label, pair="the label is " + row["label"])

@hookimpl
def emomtl_tasks():
    labels = Taxonomy(["true", "false"])
    return [Task("pairs", Files("*", split_column="part"), read, labels, head=SingleLabel())]
"""


def test_pairs_are_read_all_or_only_those_with_a_label(
    desk: Any, install: Callable[..., None]
) -> None:
    install("emomtl-pairs", {"emomtl_pairs": PAIRS}, {"pairs": "emomtl_pairs"})
    tasks = {
        "mood": None,
        "topics": None,
        "pairs": {"source": "mood.csv"},
        "all-pairs": {"use": "masked-tokens", "options": {"of": "pairs"}},
        "true-pairs": {"use": "masked-tokens", "options": {"of": "pairs", "only": "true"}},
    }
    run = desk.train(desk.manifest(tasks=tasks, sampler={"use": "uniform", "per_step": "all"}))
    sizes = run.environment["sizes"]
    rows = [line.split(",") for line in (desk.folder / "mood.csv").read_text().splitlines()[1:]]
    assert sizes["all-pairs"] == sizes["pairs"] == sum(row[2] == "train" for row in rows)
    assert sizes["true-pairs"] == sum(row[1:] == ["joy", "train"] for row in rows)
    steps = [event for event in run.events() if event["event"] == "step"]
    assert 0 < steps[-1]["counts"]["true-pairs"] < steps[-1]["counts"]["all-pairs"]
    scores = run.scores()[-1]["tasks"]
    assert scores["true-pairs"]["rows"] < scores["all-pairs"]["rows"]
    wrong = {
        **tasks,
        "true-pairs": {"use": "masked-tokens", "options": {"of": "pairs", "only": "ture"}},
    }
    with pytest.raises(EmomtlError, match="did you mean 'true'"):
        desk.begin(desk.manifest(tasks=wrong), "wrong")


def test_a_masked_task_inherits_sensitivity_and_special_tokens() -> None:
    base = Plugins.discover().offer("task", "suicide-depression").value
    assert base.sensitive
    assert MaskedTokensTask("suicide-depression").derive(base).sensitive
    goemotions = Plugins.discover().offer("task", "goemotions").value().task()
    made = MaskedTokensTask("goemotions").derive(goemotions)
    assert (made.special_tokens, made.sensitive) == (goemotions.special_tokens, False)
    assert made.special_tokens


def test_a_tokenizer_without_mask_token_is_an_error(desk: Any) -> None:
    bare = desk.folder / "bare"
    shutil.copytree(desk.encoder, bare)
    facts = json.loads((bare / "tokenizer_config.json").read_text())
    facts.pop("mask_token")
    (bare / "tokenizer_config.json").write_text(json.dumps(facts))
    manifest = desk.manifest(encoder={"use": "bare"}, tasks=WORDS)
    with pytest.raises(
        EmomtlError, match=r"tasks\.words: the encoder's tokenizer has no mask token"
    ) as caught:
        desk.begin(manifest)
    assert len(caught.value.problems) == 1
    assert not (desk.folder / "run").exists()
    words = {**WORDS["words"], "head": {"mask": 0.0, "random": 1.0}}
    assert desk.train(desk.manifest(encoder={"use": "bare"}, tasks={"words": words})).scores()


def test_a_masked_task_is_scored_and_reported_and_answers_no_text(desk: Any, cli: Any) -> None:
    run = desk.train(desk.manifest(tasks=WORDS))
    said = json.loads(cli("eval", run.folder, "--split", "test", "--task", "words", "--json").out)
    assert set(said["tasks"]["words"]) == {"masked_nll", "perplexity", "top1_accuracy"}
    assert "masked_nll" in cli("report", run.folder).out
    assert "words" not in json.loads(cli("predict", run.folder, "a text", "--json").out)
    refused = cli("predict", run.folder, "a text", "--task", "words")
    assert refused.code == 1
    assert "has no answer for a text" in refused.err


def test_it_is_told_as_a_task_made_of_another(cli: Any) -> None:
    assert any(row["task"] == "masked-tokens" for row in json.loads(cli("tasks", "--json").out))
