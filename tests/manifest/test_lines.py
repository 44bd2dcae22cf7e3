"""A key is found in its line, however TOML lets it be written."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl.manifest import Lines

TEXT = '''\
# a comment with [brackets] and = signs
name = "a # no comment"
"quoted key" = 1
'literal.key' = 2
a.b . "c d" = 3
"\\u00e9\\t" = 4

long = """
[not.a.table]
key = 1 \\""" ""
""""
raw = \'\'\'
x = 1\'\'\'

list = [  # with a comment
  1, "]",
  { deep = 1,
    deeper = [
      2 ] },
]
when = 1979-05-27 07:32:00
[train] # trailing
lr = 1e-5
inline = { a = 1, b = { c = "}" } }
[tasks . x]
head = {
  use = "h",
  lr = 1 }
[[many]]
k = 1
[[many]]
k = 2
[many.sub]
z = 1
[tasks]
last = 1
'''

PLACES: dict[tuple[str | int, ...], int | None] = {
    (): None,
    ("absent",): None,
    ("name",): 2,
    ("quoted key",): 3,
    ("literal.key",): 4,
    ("a",): 5,
    ("a", "b", "c d"): 5,
    ("é\t",): 6,
    ("long",): 8,
    ("raw",): 12,
    ("list",): 15,
    ("list", 2, "deeper", 0): 15,
    ("when",): 21,
    ("train",): 22,
    ("train", "lr"): 23,
    ("train", "absent", "deeper"): 22,
    ("train", "inline", "b", "c"): 24,
    ("tasks", "x"): 25,
    ("tasks", "x", "head"): 26,
    ("tasks", "x", "head", "lr"): 26,
    ("many",): 29,
    ("many", 0, "k"): 30,
    ("many", 1, "k"): 32,
    ("many", 1, "sub", "z"): 34,
    ("tasks",): 35,
    ("tasks", "last"): 36,
}


def test_the_text_of_this_test_is_toml() -> None:
    assert tomli.loads(TEXT)["a"]["b"]["c d"] == 3


@pytest.mark.parametrize(
    ("place", "line"), PLACES.items(), ids=[".".join(map(str, place)) for place in PLACES]
)
def test_a_place_is_found_in_its_line(place: tuple[str | int, ...], line: int | None) -> None:
    assert Lines(TEXT).of(place) == line
    assert Lines(TEXT.replace("\n", "\r\n")).of(place) == line
    assert Lines("\ufeff" + TEXT).of(place) == line


def test_what_an_override_set_has_no_line() -> None:
    lines = Lines(TEXT, [("train", "lr"), ("tasks", "x")])
    assert lines.of(["train", "lr"]) is None
    assert lines.of(["tasks", "x", "head", "use"]) is None
    assert lines.of(["train"]) == 22


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = st.one_of(
    st.integers(-99, 99),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.floats(),
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)


def places_of(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    places = [at]
    for key, inner in items:
        places += places_of(inner, (*at, key))
    return places


@settings(deadline=None, max_examples=150)
@given(tree=TREES, multiline=st.booleans())
def test_every_key_of_any_document_has_its_line(tree: dict[str, Any], multiline: bool) -> None:
    import tomli_w

    text = tomli_w.dumps(tree, multiline_strings=multiline)
    lines = Lines(text)
    rows = text.replace("\r\n", "\n").split("\n")
    for place in places_of(tree)[1:]:
        line = lines.of(place)
        assert line is not None
        is_in_list = any(isinstance(part, int) for part in place)
        if not is_in_list and str(place[-1]).isascii() and str(place[-1]).isalnum():
            assert str(place[-1]) in rows[line - 1]


@settings(deadline=None, max_examples=300)
@given(text=st.text(st.sampled_from("ab.=[]{}\"'#\n,\\ 1"), max_size=40))
def test_lines_of_any_text_raise_nothing(text: str) -> None:
    line = Lines(text).of(["a", 0, "b"])
    assert line is None or 1 <= line <= text.count("\n") + 1
