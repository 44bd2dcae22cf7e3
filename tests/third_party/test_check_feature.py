"""`check_feature` passes what is right, and says everything that is wrong."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, Feature, Learned
from emomtl.testing import check_feature

COUNTER = itertools.count()


def _lengths(self: Any, learned: Any, texts: Any) -> Any:
    return np.array([[len(text)] for text in texts], float).reshape(-1, 1)


def _feature(**methods: Any) -> Any:
    body = {
        "names": lambda self, learned: ("length",),
        "transform": _lengths,
        "__annotations__": {},
        **methods,
    }
    return dataclass(frozen=True)(type("Made", (Feature,), body))()


def test_an_option_named_like_a_key_is_found(found: Any) -> None:
    made = _feature(folds=3, __annotations__={"folds": int})
    assert "has the option ['folds'], a key of every `[features.NAME]`" in found(
        check_feature, made
    )


def _refuse(self: Any, rows: Any) -> Learned:
    raise EmomtlError("too few rows")


def test_a_good_feature_passes(complaint: Any) -> None:
    assert complaint(check_feature, _feature()) == ""
    remembers = _feature(
        fit=lambda self, rows: Learned({"n": np.arange(3)}, {"texts": len(rows.texts)})
    )
    assert complaint(check_feature, remembers) == ""


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"fit": _refuse}, "fit: too few rows"),
        ({"fit": lambda self, rows: 1 / 0}, "fit raised ZeroDivisionError"),
        (
            {"fit": lambda self, rows: Learned({}, {"n": next(COUNTER)})},
            "learns something else the second time",
        ),
        ({"fit": lambda self, rows: Learned({}, {"n": {1}})}, "fit raised TypeError"),
        ({"names": lambda self, learned: ("a", "a")}, "names its columns ('a', 'a')"),
        (
            {"names": lambda self, learned: ("a", "b")},
            "gives (12, 1) numbers for 12 texts, not (12, 2)",
        ),
        (
            {"transform": lambda self, learned, texts: _lengths(self, learned, texts) / 0},
            "not finite",
        ),
        (
            {"transform": lambda self, learned, texts: _lengths(self, learned, texts) * np.nan},
            "not finite",
        ),
        (
            {"transform": lambda self, learned, texts: np.array([[len(text)] for text in texts])},
            "fails for no text at all",
        ),
        (
            {"transform": lambda self, learned, texts: _lengths(self, learned, texts) / len(texts)},
            "depend on the texts",
        ),
        (
            {
                "transform": (
                    lambda self, learned, texts: _lengths(self, learned, texts) + next(COUNTER)
                )
            },
            "after its file was read",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_broken_feature_is_found(methods: dict[str, Any], message: str, found: Any) -> None:
    assert message in found(check_feature, _feature(**methods))
