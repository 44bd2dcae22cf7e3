"""One word for one thing: pages keep to the words of the project."""

from __future__ import annotations

import re
from typing import Any

import pytest

FORBIDDEN = {
    r"\bdatasets?\b": 'a task is no "dataset"; a corpus is a corpus',
    r"\bclass(?:es)?\b": 'a label is no "class"',
    r"\bconfigs?\b": 'a manifest is no "config"',
    r"(?<!top-1 )(?<!subset )\baccurac(?:y|ies)\b": "a metric carries its full name",
}
ALLOWED = (
    r'"(?:dataset|class|config|accuracy)"',
    r"GoEmotions: A Dataset of Fine-Grained Emotions",
    r"torch, transformers (?:and|or) datasets\b",
    r"\(torch, transformers, datasets,",
    r"every module, class and public function",
    r"the (?:Python )?class\b",
    r"a class in Python",
    r"classes-over-size",
    r"ConFIG \(Liu",
)
"""Other things of those names: the libraries, Python's classes, titles of papers, and the rules
themselves.
"""

SPANS = r"`(?:[\w-]+[/. ])?accuracy`"


def _stripped(text: str) -> str:
    for allowed in ALLOWED:
        text = re.sub(allowed, "ALLOWED", text, flags=re.IGNORECASE)
    return text


@pytest.mark.parametrize("pattern", sorted(FORBIDDEN))
def test_the_page_calls_things_by_their_names(page: Any, pattern: str) -> None:
    prose = _stripped(page.prose)
    found = [
        f"{page.name}:{number}: {line.strip()[:120]}"
        for number, line in enumerate(prose.splitlines(), 1)
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert found == [], FORBIDDEN[pattern]


def test_no_code_span_of_the_page_is_a_plain_accuracy(page: Any) -> None:
    assert re.findall(SPANS, page.text) == []


def test_sentences_of_the_page_stand_without_dashes(page: Any) -> None:
    assert [line for line in page.prose.splitlines() if "\u2014" in line] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("train on several datasets", True),
        ("28 classes", True),
        ("the config file", True),
        ("an accuracy of 0.9", True),
        ("subset accuracy, top-1 accuracy and macro-F1", False),
        ("a dataclass, a classification, a configuration", False),
        ("never import torch, transformers or datasets.", False),
    ],
)
def test_the_check_tells_wrong_words_from_right_ones(text: str, wrong: bool) -> None:
    found = any(re.search(pattern, _stripped(text), re.IGNORECASE) for pattern in FORBIDDEN)
    assert found is wrong
