"""Whatever is read, it is read or refused by one clear message: real layouts, mutated, for
everything that reads.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz_targets import TARGETS, Target, clear
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import mutated, odd_json

FAST = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""An input is made of its number, so there is nothing to shrink."""


def made(target: Target, number: int) -> bytes:
    """The input of a number: a seed with some changes."""
    draw = random.Random(number)
    seed = draw.choice(target.seeds())
    times = draw.choice((1, 1, 2, 4, 16))
    if target.json and draw.random() < 0.7:
        return odd_json(seed, draw, times)
    return mutated(seed, draw, target.words, times)


def check(target: Target, data: bytes, folder: Path) -> None:
    """Read or refused; what is said is fit for a terminal, and says what was found."""
    error = target(data, clear(folder))
    for problem in error.problems if error is not None else ():
        assert problem.found
        assert str(problem).isprintable(), str(problem)
        assert len(str(problem)) < 3_000, str(problem)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    for seed in TARGETS[name].seeds():
        assert TARGETS[name](seed, clear(tmp_path / "x")) is None


FOUND = [
    ("run-about", b'{"format": 1, "emomtl": "0.1.0", "name": "small", "id": "\\ud800"}'),
    (
        "study",
        b'name = "s"\ntarget = "t"\n'
        + b"".join(b'[[axes.a%d]]\nname = "x%d"\n' % (n // 2, n) for n in range(60)),
    ),
    ("gains-csv", b"auxiliary,gain\n" + b"a,nan\n" * 20_000),
    ("emotion-words", b"\t" * 100_000),
    ("manifest", b"a = " + b"9" * 100_000),
    (
        "study",
        b'name = "s"\ntarget = "t"\n'
        + b"".join(b'[[axes.%c]]\nname = "%s"\n' % (c, b"n" * 40) for c in b"ab"),
    ),
    (
        "lexicon-words",
        b'{"words": ["so", "happy", "sad", "so"], "labels": ["joy", "sadness"], "about": {}}',
    ),
    (
        "claims",
        b'title = "t"\n[[claims]]\nsays = "a"\nevidence = [{ analysis = "'
        + b"n" * 300
        + b'", at = ["a"] }]\n',
    ),
    (
        "run-scores",
        (
            b'{"format": 1, "evaluations": [{"split": "test", "which": "best", "checkpoint":'
            b' "step-00000001", "step": 1, "by": "train", "answers": null, "tasks": {"demo":'
            b' {"rows": 2, "metrics": {"macro_f1": 0.5}, "tables": {}}}}]}'
        ),
    ),
    ("run-scores", b'{"format": "' + b"x" * 5_000 + b'", "evaluations": []}'),
]
"""What atheris and the inputs that are made to hurt have found, by reader."""


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_stays_mended(tmp_path: Path, name: str, data: bytes) -> None:
    check(TARGETS[name], data, tmp_path / "x")


def examples(name: str, long: bool) -> int:
    return (2_000 if long else 30) // (10 if TARGETS[name].slow else 1)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_read_is_read_or_refused_by_a_clear_message(
    tmp_path: Path, name: str, pytestconfig: pytest.Config
) -> None:
    fewest = examples(name, pytestconfig.getoption("--long"))

    @settings(FAST, max_examples=fewest)
    @given(st.integers(0, 2**32 - 1))
    def anything(number: int) -> None:
        check(TARGETS[name], made(TARGETS[name], number), tmp_path / "x")

    anything()


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if not target.slow])
def test_bytes_of_nothing_real_are_refused_or_read(tmp_path: Path, name: str) -> None:
    @settings(FAST, max_examples=10)
    @given(st.binary(max_size=200))
    def anything(data: bytes) -> None:
        check(TARGETS[name], data, tmp_path / "x")

    anything()
