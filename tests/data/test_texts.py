"""Texts in one buffer answer as a list of them does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emomtl.data.texts import TextColumn

TEXTS = st.lists(st.text("aé😀\ud800\n", max_size=6), max_size=12)
PLACES = st.one_of(st.none(), st.integers(-15, 15))


@given(TEXTS, PLACES, PLACES, st.sampled_from([None, 1, 2, -1, -3]))
def test_a_column_is_the_list_of_its_texts(
    texts: list[str], start: int | None, stop: int | None, by: int | None
) -> None:
    column = TextColumn(texts)
    assert list(column) == texts
    assert len(column) == len(texts)
    assert column[start:stop:by] == texts[start:stop:by]
    assert [column[i] for i in range(-len(texts), len(texts))] == texts + texts
    assert list(reversed(column)) == texts[::-1]


@given(TEXTS, TEXTS)
def test_columns_are_equal_where_their_texts_are(left: list[str], right: list[str]) -> None:
    assert TextColumn(left) == TextColumn(left) == left
    assert (TextColumn(left) == TextColumn(right)) == (left == right) == (TextColumn(left) == right)


def test_texts_that_run_together_are_not_equal() -> None:
    assert TextColumn(["ab", "c"]) != TextColumn(["a", "bc"])


@given(TEXTS, st.data())
def test_some_of_a_column_are_those_of_the_list(texts: list[str], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(texts) - 1))) if texts else []
    column = TextColumn(texts)
    assert column.only(chosen) == [texts[i] for i in chosen]
    column.append("more")
    assert column == [*texts, "more"]
