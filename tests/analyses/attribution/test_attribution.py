"""`emomtl analyse attribution`: the right word gets it all, sums are right, texts are seen only
where asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, MultiLabel, Regression, SingleLabel
from emomtl.analyses.attribution import AttributionAnalysis, gradients
from emomtl.analyses.attribution.gradients import attribute, log_odds_of
from emomtl.analyses.attribution.texts import Chosen, check_examples
from emomtl.analyses.runs import RunFolders
from emomtl.data.corpus import CorpusSplit
from emomtl.inference.trained import open_trained
from emomtl.plugins.discovery import Plugins

pytest.importorskip("captum")

LIST = "happy\nlove\nsad\nlonely\nangry\nhate\nbest\nworst\ncried\nlost\nscared\n"


def chosen(texts: list[str], label: int) -> Chosen:
    """Texts that all have one label."""
    split = CorpusSplit(np.arange(len(texts)), texts)
    return Chosen(split, [[label]] * len(texts), len(texts), len(texts), False)


def test_a_model_that_reads_one_word_gives_it_everything(trained: Any) -> None:
    import torch
    from torch import nn

    class OneWord(nn.Module):
        """Every token is nothing, but for one."""

        def __init__(self, size: int, width: int, word: int) -> None:
            super().__init__()
            self.words = nn.Embedding(size, width)
            nn.init.zeros_(self.words.weight)
            nn.init.ones_(self.words.weight[word])

        def get_input_embeddings(self) -> nn.Module:
            return self.words

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return SimpleNamespace(last_hidden_state=self.words(input_ids))

    opened = open_trained(trained.folder, "last", Plugins.discover())
    with torch.no_grad():
        opened.model.encoder = OneWord(
            len(opened.tokenizer), 32, opened.tokenizer.convert_tokens_to_ids("happy")
        )
        opened.model.heads["mood"][1].weight[0] = 1.0  # type: ignore[index]
    made = attribute(
        opened, "mood", chosen(["today we felt so happy here", "zxq happy"], 0), "mask"
    )
    for units, values, difference in zip(made.units, made.words, made.differences, strict=True):
        place = [unit.word for unit in units].index("happy")
        assert values[place] == pytest.approx(difference, rel=1e-3)
        assert np.abs(np.delete(values, place)).max() == pytest.approx(0, abs=1e-6)
    assert abs(made.differences).min() > 0.1


def test_a_model_with_nan_weights_explains_nothing(trained: Any) -> None:
    import torch

    opened = open_trained(trained.folder, "last", Plugins.discover())
    with torch.no_grad():
        opened.model.heads["mood"][1].weight.fill_(float("nan"))  # type: ignore[index, operator]
    with pytest.raises(EmomtlError, match="the model's answers on these texts are not finite"):
        attribute(opened, "mood", chosen(["today we felt so happy here"], 0), "mask")


@pytest.mark.parametrize("task", ["mood", "topics"])
def test_attributions_sum_to_the_difference_of_log_odds(trained: Any, task: str) -> None:
    import torch

    opened = open_trained(trained.folder, "last", Plugins.discover())
    texts = [
        "so happy , zxq friends",
        "i hate the dark night alone and the exam and the terrible day and all that was then",
    ]
    made = attribute(opened, task, chosen(texts, 1), "mask")
    log_odds = log_odds_of(
        opened.plan.tasks[task].head, len(opened.plan.tasks[task].taxonomy or ())
    )
    for text, words, difference, seen in zip(
        texts, made.words, made.differences, made.seen, strict=True
    ):
        inputs = dict(opened.tokenizer(text, truncation=True, max_length=16, return_tensors="pt"))
        blank = inputs["input_ids"].clone()
        blank[0, 1:-1] = opened.tokenizer.mask_token_id
        with torch.inference_mode():
            both = [
                log_odds(
                    opened.model.logits(
                        task, opened.model.encode({**inputs, "input_ids": ids}, task)
                    )
                )[0, 1]
                for ids in (inputs["input_ids"], blank)
            ]
        assert difference == pytest.approx(float(both[0] - both[1]), abs=1e-4)
        assert words.sum() == pytest.approx(difference, abs=0.02)
        assert words[~seen].tolist() == [0.0] * int((~seen).sum())
    assert made.seen[0].all()
    assert not made.seen[1].all()  # cut to 16 tokens
    assert not made.incomplete.any()


def test_log_odds_are_those_of_the_probabilities() -> None:
    import torch

    logits = np.random.default_rng(0).normal(size=(5, 3))
    for head in (MultiLabel(), SingleLabel()):
        p = head.probabilities(logits)
        assert log_odds_of(head, 3)(torch.from_numpy(logits)).numpy() == pytest.approx(
            np.log(p / (1 - p)), abs=1e-5
        )
    with pytest.raises(EmomtlError, match="neither sigmoids nor a softmax"):
        log_odds_of(Regression(), 1)


def test_two_runs_are_compared_and_no_text_is_shown(cli: Any, trained: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text(LIST)
    out = tmp_path / "out"
    arguments = [
        "analyse",
        "attribution",
        trained.folder,
        trained.folder,
        "--words",
        words,
        "--limit",
        "8",
        "--steps",
        "8",
    ]
    said = cli(*arguments, "--out", out, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found == json.loads((out / "attribution.json").read_text())
    assert (found["task"], found["texts"]) == ("mood", 8)
    first, second = found["runs"]
    assert "difference" not in first["figures"]["focus"]
    assert second["figures"]["focus"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (
        second["figures"]["attribution_share"]["chance"] == second["figures"]["word_share"]["value"]
    )
    assert not (out / "attribution.html").exists()
    text = (out / "attribution.md").read_text()
    assert "(attribution.png)" in text
    assert (out / "attribution.png").read_bytes()[:4] == b"\x89PNG"
    everything = said.out + said.err + text + (out / "attribution.svg").read_text()
    assert not [word for word in ("shouted", "wonderful", "lonely") if word in everything]
    shown = cli(*arguments)
    assert "pointing game" in shown.out
    assert "Completeness" in shown.out


def test_examples_are_escaped_and_coloured_on_a_page_without_script(desk: Any, cli: Any) -> None:
    path = desk.folder / "mood.csv"
    lines = path.read_text().splitlines()
    lines = [
        f"<script>alert(1)</script> {line}" if line.endswith("validation") else line
        for line in lines
    ]
    path.write_text("\n".join(lines) + "\n")
    change = {"use": "lora", "per_task_adapters": True}
    encoder = {"changes": [change], "layers": 2, "layers_by": "concat"}
    run = desk.train(
        desk.manifest(
            encoder=encoder, features={"words": {"use": "lexicon", "of": "mood", "min_rows": 1}}
        )
    )
    words = desk.folder / "words.txt"
    words.write_text(LIST)
    out = desk.folder / "out"
    said = cli(
        "analyse",
        "attribution",
        run.folder,
        "--words",
        words,
        "--limit",
        "6",
        "--out",
        out,
        "--examples",
        "3",
    )
    assert said.code == 0, said.err
    html = (out / "attribution.html").read_text()
    assert "<script" not in html
    assert "style=" not in html
    assert html.count('<article class="example">') == 3
    assert 'class="word for-' in html
    assert " emotion" in html
    assert cli("analyse", "attribution", run.folder, "--examples", "3").code == 1
    with pytest.raises(EmomtlError, match="sensitive"):
        check_examples("mood", Chosen(CorpusSplit(np.arange(1), ["sad"]), [[0]], 1, 1, True))
    analysis = AttributionAnalysis(words=str(words), limit=3, steps=8, examples=1)
    page = analysis.run(RunFolders([run.folder])).pages["attribution.html"]
    assert page.count('<article class="example">') == 1


def test_what_cannot_be_explained_is_said(
    cli: Any, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cli(
        "analyse", "attribution", trained.folder, "--words", "definitions", "--split", "tset"
    )
    assert said.code == 1
    assert "'tset' is no split" in said.err
    said = cli("analyse", "attribution", trained.folder, "--task", "nothing")
    assert "'nothing' is no task" in said.err
    monkeypatch.setattr(gradients, "find_spec", lambda name: None)
    said = cli("analyse", "attribution", trained.folder)
    assert said.code == 1
    assert 'pip install "emomtl[explain]"' in said.err
