"""The fields of a dataclass are the options: types, ranges and choices are held, and mistakes are
named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types
import pytest

from emomtl.contracts.heads import MultiLabel, Regression, SingleLabel
from emomtl.errors import EmomtlError, Problem
from emomtl.manifest import option_model, options_of, read_options

if TYPE_CHECKING:
    from decimal import Decimal


class Unit(Enum):
    STEP = "step"
    EPOCH = "epoch"


@dataclass(frozen=True)
class Inner:
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")


@dataclass(frozen=True)
class Options:
    """Options of every kind that plugins have."""

    kind: ClassVar[str] = "every"
    alpha: Annotated[float, annotated_types.Gt(0), annotated_types.Le(1)] = 0.5
    count: Annotated[int, annotated_types.Ge(1)] = 1
    by: Literal["step", "epoch"] = "step"
    unit: Unit = Unit.STEP
    flag: bool = False
    names: tuple[str, ...] = ()
    pair: tuple[float, float] | None = None
    weights: Mapping[str, Annotated[float, annotated_types.Ge(0)]] = field(default_factory=dict)
    columns: Sequence[str] | Mapping[str, str] | None = None
    layers: list[int] | None = None
    folder: Path | None = None
    inner: Inner = field(default_factory=Inner)
    json: str = "a name that pydantic's models have already"
    derived: int = field(default=0, init=False)


@dataclass(frozen=True)
class Needy:
    text: str
    scale: float = field(default=1.0, metadata={"description": "how much"})

    def __post_init__(self) -> None:
        if self.scale < 0:
            raise EmomtlError(
                Problem("scale", "is negative", "0 or more"), Problem("elsewhere", "is odd")
            )


FULL: dict[str, Any] = {
    "alpha": 1,
    "count": 3,
    "by": "epoch",
    "unit": "epoch",
    "flag": True,
    "names": ["a", "b"],
    "pair": [0, 0.5],
    "weights": {"ä b": 1, "c": 0.5},
    "columns": ["x"],
    "layers": [1, 2],
    "folder": "data/x",
    "inner": {"high": 2.5},
    "json": "x",
}


def test_every_kind_of_option_is_read_as_its_type() -> None:
    value, problems = read_options(Options, FULL, "sampler")
    assert problems == []
    assert value == Options(
        1.0,
        3,
        "epoch",
        Unit.EPOCH,
        True,
        ("a", "b"),
        (0.0, 0.5),
        {"ä b": 1.0, "c": 0.5},
        ("x",),
        [1, 2],
        Path("data/x"),
        Inner(0.0, 2.5),
        "x",
    )
    assert isinstance(value.alpha, float)


def test_options_written_and_read_again_are_equal() -> None:
    for given in ({}, FULL, {"columns": {"a": "b"}}):
        value, _ = read_options(Options, given, "sampler")
        again, problems = read_options(Options, options_of(value), "sampler")
        assert (again, problems) == (value, [])
    assert json.loads(json.dumps(options_of(Options()))) == options_of(Options())
    assert "pair" not in options_of(Options())
    assert "derived" not in options_of(Options())


@pytest.mark.parametrize(
    ("options", "place", "fragment"),
    [
        ({"alpah": 1.0}, "sampler.alpah", "unknown key (did you mean 'alpha'?)"),
        ({"log_every": 9}, "sampler.log_every", "'log_every' belongs under [train]"),
        ({"derived": 1}, "sampler.derived", "unknown key"),
        ({"kind": "x"}, "sampler.kind", "unknown key"),
        (
            {"alpha": 0},
            "sampler.alpha",
            "found the whole number 0 (expected a number greater than 0 and of at most 1)",
        ),
        ({"alpha": "0.5"}, "sampler.alpha", "write 0.5 without quotes"),
        ({"alpha": float("nan")}, "sampler.alpha", "found the number nan"),
        ({"count": True}, "sampler.count", "found true (expected a whole number of at least 1)"),
        ({"by": "steps"}, "sampler.by", "did you mean 'step'? expected one of 'step', 'epoch'"),
        ({"unit": "week"}, "sampler.unit", "expected one of 'step', 'epoch'"),
        ({"names": "a"}, "sampler.names", "expected a list, each text"),
        ({"names": ["a", 3]}, "sampler.names[1]", "found the whole number 3"),
        ({"pair": [1.0]}, "sampler.pair", "expected a list of 2: each a number"),
        ({"weights": {"a b": -1}}, 'sampler.weights."a b"', "expected a number of at least 0"),
        (
            {"weights": 3},
            "sampler.weights",
            "expected a table whose values are each a number of at least 0",
        ),
        (
            {"columns": 3},
            "sampler.columns",
            "expected a list, each text or a table whose values are each text",
        ),
        ({"columns": ["a", 3]}, "sampler.columns", "found a list of 2"),
        ({"inner": {"lo": 1.0}}, "sampler.inner.lo", "unknown key (did you mean 'low'?)"),
        ({"inner": {"low": 3.0}}, "sampler.inner", "low = 3.0 is above high = 1.0"),
        ({"flag": 0}, "sampler.flag", "expected true or false"),
    ],
)
def test_a_wrong_option_is_named_with_what_would_have_worked(
    options: dict[str, Any], place: str, fragment: str
) -> None:
    value, problems = read_options(Options, options, "sampler")
    assert value is None
    assert [problem.place for problem in problems] == [place]
    assert fragment in str(problems[0])


def test_all_wrong_options_come_at_once() -> None:
    _, problems = read_options(
        Options, {"alpha": 2, "count": 0, "names": 1, "nothing": 1}, "tasks.x.options"
    )
    assert {problem.place for problem in problems} == {
        f"tasks.x.options.{key}" for key in ("alpha", "count", "names", "nothing")
    }


def test_a_missing_option_and_errors_of_the_dataclass_are_problems() -> None:
    assert [str(problem) for problem in read_options(Needy, {}, "tasks.x.options")[1]] == [
        "tasks.x.options.text: missing key (expected text)"
    ]
    _, problems = read_options(Needy, {"text": "a", "scale": -1}, "sampler")
    assert [str(problem) for problem in problems] == [
        "sampler.scale: is negative (0 or more)",
        "sampler: elsewhere: is odd",
    ]


def test_a_description_of_a_field_reaches_the_schema() -> None:
    schema = option_model(Needy).model_json_schema()
    assert schema["properties"]["scale"]["description"] == "how much"
    assert schema["required"] == ["text"]
    assert option_model(Needy) is option_model(Needy)


def test_the_heads_of_emomtl_are_read() -> None:
    assert read_options(SingleLabel, {"dropout": 0}, "head")[0] == SingleLabel(dropout=0.0)
    assert read_options(MultiLabel, {"threshold": 0.3, "lr": 1}, "head")[0] == MultiLabel(
        threshold=0.3, lr=1.0
    )
    assert read_options(Regression, {"dimensions": ["v", "a"], "low": 1, "high": 5}, "head")[
        0
    ] == Regression(("v", "a"), low=1.0, high=5.0)
    problems = read_options(Regression, {"dimensions": ["v", "v"]}, "tasks.x.head")[1]
    assert [str(problem) for problem in problems] == [
        "tasks.x.head: a regression head needs dimensions, each named once"
    ]


def test_a_class_without_fields_takes_no_options() -> None:
    class Plain:
        pass

    assert isinstance(read_options(Plain, {}, "sampler")[0], Plain)
    assert "it takes no keys" in str(read_options(Plain, {"alpha": 1}, "sampler")[1][0])


def test_options_whose_types_cannot_be_read_name_their_class() -> None:
    @dataclass
    class Hidden:
        value: Decimal | None = None

    @dataclass
    class Strange:
        value: annotated_types.GroupedMetadata | None = None

    for cls in (Hidden, Strange):
        with pytest.raises(EmomtlError, match=cls.__name__):
            read_options(cls, {}, "sampler")
