"""A manifest is read strictly, and what one validation finds is told all at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emomtl.errors import EmomtlError, Problem
from emomtl.manifest import Manifest, read_draft, read_manifest

START = 'name = "a"\n[encoder]\nuse = "e"\n[tasks.x]\n'

WRONG = """\
name = "a b"
sede = 3
[encoder]
use = "minilm"
max_tokens = "64"
[tasks.x]
weight = -1
[tasks.y]
wieght = 1.0
head = { use = "single-label", lr = 1.0 }
[sampler]
use = "annealed"
alpha = 0.5
[train]
lr = 0
epochs = 1
steps = 2
[eval]
every = 0
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.toml"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_least_manifest_reads_with_defaults(path: Path) -> None:
    manifest = read_manifest(write(path, START))
    assert (manifest.name, manifest.seed, manifest.encoder.max_tokens, manifest.train.lr) == (
        "a",
        17,
        64,
        5e-5,
    )
    assert list(manifest.tasks) == ["x"]
    assert manifest.sampler.use == "proportional"


def test_arrays_are_tuples_and_integers_serve_as_numbers(path: Path) -> None:
    manifest = read_manifest(
        write(path, 'plugins = ["p"]\n' + START + "[train]\nepochs = 3\nbetas = [0, 0.5]")
    )
    assert manifest.plugins == ("p",)
    assert manifest.train.betas == (0.0, 0.5)
    assert isinstance(manifest.train.epochs, float)


def test_byte_order_mark_and_windows_line_ends_are_fine(path: Path) -> None:
    path.write_bytes(
        b"\xef\xbb\xbf"
        + (START + "[train]\r\nlr = 0\r\n").replace("\n", "\r\n").replace("\r\r", "\r").encode()
    )
    assert [(problem.place, problem.line) for problem in read_draft(path).problems] == [
        ("train.lr", 6)
    ]


def test_several_errors_come_at_once_in_the_order_of_lines(path: Path) -> None:
    problems = read_draft(write(path, WRONG)).problems
    assert [(problem.place, problem.line) for problem in problems] == [
        ("name", 1),
        ("sede", 2),
        ("encoder.max_tokens", 5),
        ("tasks.x.weight", 7),
        ("tasks.y.wieght", 9),
        ("train.lr", 15),
        ("eval.every", 19),
    ]


def test_keys_that_contradict_each_other_come_last(path: Path) -> None:
    problems = read_draft(write(path, WRONG.replace("lr = 0", "lr = 1.0"))).problems
    assert ("train", 14) in [(problem.place, problem.line) for problem in problems]


def test_a_wrong_manifest_is_none(path: Path) -> None:
    assert read_draft(write(path, WRONG)).manifest is None
    assert read_draft(write(path, START), ["train.lr=abc"]).manifest is None
    assert read_draft(write(path, START + "[tasks.X]")).manifest is None


def test_values_that_no_key_takes_are_reported_before_other_errors(path: Path) -> None:
    text = START + "weight = inf\nlimit = 2026-11-24\n[train]\nlr = nan\nsteps = -1\n"
    problems = read_draft(write(path, text)).problems
    places = [(problem.place, problem.line) for problem in problems]
    assert places == [("tasks.x.weight", 5), ("tasks.x.limit", 6), ("train.lr", 8)]
    assert "found the date or time 2026-11-24" in str(problems[1])


def test_a_manifest_without_encoder_and_tasks_lacks_each_of_them(path: Path) -> None:
    problems = read_draft(write(path, '[sampler]\nuse = "s"\n')).problems
    assert {problem.place for problem in problems} == {"name", "encoder", "tasks"}


def test_a_task_that_is_no_table_is_named(path: Path) -> None:
    text = 'name = "a"\nencoder.use = "e"\n[tasks]\nx = 3\n[train]\ntarget_updates = "3"\n'
    problems = read_draft(write(path, text + 'target = "x"')).problems
    assert [problem.place for problem in problems] == ["tasks.x", "train.target_updates"]


def test_a_later_problem_gets_its_line_or_override(path: Path) -> None:
    draft = read_draft(
        write(path, START + "[sampler]\nuse = 's'\nalpha = 1\n"), ["weighting.use=w"]
    )
    assert str(draft.placed(Problem("sampler.alpha", "odd"))) == f"{path}:7: sampler.alpha: odd"
    assert str(draft.placed(Problem("weighting.use", "odd"))) == "--set weighting.use: odd"
    assert (
        str(draft.placed(Problem('tasks."x".nothing', "odd")))
        == f'{path}:4: tasks."x".nothing: odd'
    )


def test_more_than_a_hundred_problems_are_counted(path: Path) -> None:
    problems = read_draft(write(path, "".join(f"k{i} = 1\n" for i in range(5000)) + START)).problems
    assert len(problems) == 101
    assert "and 4,900 more problems" in str(problems[-1])


def answered(path: Path, overrides: list[str] | None = None) -> None:
    """The file is a manifest or one error that prints, in less than two seconds."""
    start = time.perf_counter()
    problems: tuple[Problem, ...] = ()
    try:
        manifest = read_manifest(path, overrides or [])
    except EmomtlError as error:
        problems = error.problems
    else:
        assert isinstance(manifest, Manifest)
    assert all(problem.found and str(problem).isprintable() for problem in problems)
    assert time.perf_counter() - start < 2


WORDS = [
    "name",
    "=",
    '"a"',
    "\n",
    "[",
    "]",
    "tasks",
    ".x",
    "[train]\n",
    "lr",
    "1e-5",
    "{",
    "}",
    ",",
    "'",
    '"""',
    "#",
    "use",
    " ",
    "\\u0000",
]
FUZZ = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_an_error(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    answered(path)


@FUZZ
@given(
    text=st.one_of(
        st.text(max_size=200), st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
    ),
    start=st.booleans(),
)
def test_any_text_is_a_manifest_or_an_error(path: Path, text: str, start: bool) -> None:
    path.write_bytes(((START if start else "") + text).encode("utf-8", "surrogatepass"))
    answered(path)


VALUES = st.one_of(
    st.sampled_from(
        [
            "1",
            "-1",
            "0.5",
            "nan",
            '"x"',
            "true",
            "[]",
            "{}",
            "[1, 2]",
            "1979-05-27",
            "{ use = 3 }",
            "99999999999999999999",
        ]
    )
)
PLACES = [
    (*table, key)
    for table in [(), ("train",), ("tasks", "x"), ("encoder",), ("sampler",)]
    for key in ["use", "lr", "betas", "head", "tasks", "z"]
]


@FUZZ
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(PLACES), VALUES), max_size=8, unique_by=lambda pair: pair[0]
    ),
    overrides=st.lists(
        st.one_of(
            st.text(max_size=20), st.sampled_from(["train.lr=1", "tasks.x={}", "train=3", "a.b=c"])
        ),
        max_size=3,
    ),
)
def test_any_value_at_any_place_is_read_or_an_error(
    path: Path, pairs: list[tuple[tuple[str, ...], str]], overrides: list[str]
) -> None:
    text = 'name = "a"\n' + "".join(f"{'.'.join(place)} = {value}\n" for place, value in pairs)
    answered(write(path, text), overrides)
