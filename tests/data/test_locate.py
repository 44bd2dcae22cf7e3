"""Declared layouts and a manifest's `source` lead to the right rows, or to one error that says what
was looked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Files, Hub
from emomtl.data.locate import locate
from emomtl.data.located import FILE_STRIDE, Located

ANY = Files("*")
CORPORA = os.environ.get("EMOMTL_CORPORA", "")
needs_corpora = pytest.mark.skipif(not CORPORA, reason="EMOMTL_CORPORA names no folder of corpora")


def lay(folder: Path, **files: str) -> Path:
    """Files under a folder: `train__csv="..."` is train.csv."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def texts(located: Located) -> dict[str, list[Any]]:
    return {split: [raw.values["text"] for raw in located.rows(split)] for split in located.splits}


@contextmanager
def refused(*parts: str) -> Iterator[None]:
    with pytest.raises(EmomtlError) as caught:
        yield
    for part in parts:
        assert part in str(caught.value)


def test_without_source_the_first_layout_whose_files_exist_is_read(tmp_path: Path) -> None:
    layouts = [Hub("someone/corpus"), ANY, Files("gone.csv"), Files("here.csv"), Files("there.csv")]
    lay(tmp_path, here__csv="text\na\n", there__csv="text\nb\n")
    located = locate(layouts, None, tmp_path, "mine")
    assert texts(located) == {"all": ["a"]}
    assert located.layout is layouts[3]


def test_without_files_the_hub_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    located = locate(
        [Files("gone.csv"), Hub("someone/corpus", "part"), Hub("other/corpus")],
        None,
        tmp_path,
        "mine",
    )
    assert located.layout == Hub("someone/corpus", "part")
    assert located.place("train", 3) == ("hub:someone/corpus/part train", 3)


def test_without_files_or_hub_all_layouts_are_listed(tmp_path: Path) -> None:
    layouts = [
        Files("gone.csv"),
        Files("corpus", splits={"train": "a.tsv", "test": "b-*.tsv"}),
        ANY,
    ]
    lay(tmp_path, corpus___c__tsv="")
    with refused(
        'tasks.mine.source: its rows are not here (say where they are: `source = "FILE or'
        ' FOLDER"`)',
        "layout 'gone.csv': 'gone.csv' is missing",
        "layout 'corpus' with a.tsv, b-*.tsv: 'a.tsv' is missing, 'b-*.tsv' matches no file",
        "layout '*' (any file, or a folder of split files): is read from where `source` says",
    ):
        locate(layouts, None, tmp_path, "mine")


def test_any_folder_has_its_splits_by_the_usual_names(tmp_path: Path) -> None:
    lay(
        tmp_path / "c",
        train__csv="text\na\n",
        dev__jsonl='{"text": "b"}\n',
        Test__TSV="text\nc\n",
        other__csv="no",
    )
    assert texts(locate([ANY], "c", tmp_path, "mine")) == {
        "train": ["a"],
        "validation": ["b"],
        "test": ["c"],
    }
    assert texts(locate([Files("elsewhere/c")], str(tmp_path / "c"), Path("/"), "mine"))[
        "test"
    ] == ["c"]
    lay(tmp_path / "c", validation__tsv="text\nd\n")
    with refused("several validation files: dev.jsonl and validation.tsv (leave one)"):
        locate([ANY], "c", tmp_path, "mine")


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(lay(tmp_path, mine__csv="text\na\n")))
    assert texts(locate([ANY], "~/mine.csv", Path("/"), "mine")) == {"all": ["a"]}


def test_declared_splits_are_names_patterns_or_layouts_of_their_own(tmp_path: Path) -> None:
    gold = Files(
        "gold/test.csv", header=False, columns=("text", "label"), delimiter=";", encoding="latin-1"
    )
    layout = Files("*", splits={"test": gold, "train": "train-*.tsv"}, columns={"sentence": "text"})
    lay(tmp_path, **{"train-2__tsv": "sentence\nc\n", "train-1__tsv": "sentence\na\nb\n"})
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold/test.csv").write_bytes(b"caf\xe9;1\n")
    located = locate([layout], ".", tmp_path, "mine")
    assert texts(located) == {"train": ["a", "b", "c"], "test": ["café"]}


def test_row_numbers_lead_to_file_and_line(tmp_path: Path) -> None:
    lay(tmp_path, **{"a-1__csv": "text\na\n", "a-2__csv": "text\nb\n\nc\n"})
    located = locate([Files("a-*.csv")], None, tmp_path, "mine")
    numbers = [raw.number for raw in located.rows("all")]
    assert numbers == [2, FILE_STRIDE + 2, FILE_STRIDE + 4]
    assert located.place("all", numbers[0]) == (str(tmp_path / "a-1.csv"), 2)
    assert located.place("all", numbers[2]) == (str(tmp_path / "a-2.csv"), 4)


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    lay(tmp_path, **{"a[1]__csv": "text\na\n", "a1__csv": "text\nb\n"})
    assert texts(locate([Files("a[1].csv")], None, tmp_path, "mine")) == {"all": ["a"]}


def test_earlier_layouts_are_preferred_and_later_ones_tried(tmp_path: Path) -> None:
    three = Files("*", splits={"train": "train.tsv", "validation": "dev.tsv", "test": "gold.tsv"})
    two = Files("*", splits={"train": "train.tsv", "validation": "dev.tsv"})
    lay(tmp_path, train__tsv="text\na\n", dev__tsv="text\nb\n")
    assert locate([three, two], ".", tmp_path, "mine").splits == ("train", "validation")
    lay(tmp_path, gold__tsv="text\nc\n")
    assert locate([three, two], ".", tmp_path, "mine").splits == ("train", "validation", "test")


def test_a_file_fits_a_layout_with_its_ending_and_columns(tmp_path: Path) -> None:
    reviews = Files("reviews.csv", columns={"review": "text"})
    tweets = Files("tweets.csv", columns={"tweet": "text"})
    lines = Files("lines.jsonl", columns={"words": "text"})
    lay(tmp_path, a__csv="tweet,id\na,1\n", b__ndjson='{"words": "b"}\n')
    assert texts(locate([lines, reviews, tweets], "a.csv", tmp_path, "mine")) == {"all": ["a"]}
    assert texts(locate([reviews, lines], "b.ndjson", tmp_path, "mine")) == {"all": ["b"]}
    with refused(
        "the file 'a.csv' fits no layout",
        "layout 'lines.jsonl': ends in .jsonl",
        "layout 'reviews.csv': no column 'review'",
        "layout 'c' with train.csv: is a folder with one file a split",
    ):
        locate(
            [lines, reviews, Files("c", splits={"train": "train.csv"})], "a.csv", tmp_path, "mine"
        )


def test_a_folder_may_fit_a_layout_of_one_file(tmp_path: Path) -> None:
    lay(tmp_path / "c", corpus__csv="text\na\n", train__csv="text\nb\n")
    assert texts(locate([Files("corpus.csv"), ANY], "c", tmp_path, "mine")) == {"all": ["a"]}


def test_another_ending_is_read_where_the_delimiter_is_given(tmp_path: Path) -> None:
    lay(tmp_path, a__txt="text|label\na|b\n")
    assert texts(locate([Files("*", delimiter="|")], "a.txt", tmp_path, "mine")) == {"all": ["a"]}
    with refused(
        "the ending of 'a.txt' is none of .csv, .tsv, .jsonl, .ndjson, .json-lines, .parquet"
    ):
        locate([ANY], "a.txt", tmp_path, "mine")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.csv.gz", "'a.csv.gz' is compressed; unpack it first"),
        ("a.json", "one object a line is called .jsonl"),
    ],
)
def test_endings_that_are_not_read_say_what_to_do(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / name).write_text("x")
    with refused(found):
        locate([Files("*", delimiter=",") if name.endswith("gz") else ANY], name, tmp_path, "mine")


def test_a_split_column_tells_the_splits(tmp_path: Path) -> None:
    said = ["Train", "training", "DEV", "valid", "val", "validation", " test ", "testing"]
    lay(
        tmp_path, a__csv="text,split\n" + "".join(f"t{i},{split}\n" for i, split in enumerate(said))
    )
    located = locate([Files("*", split_column="split")], "a.csv", tmp_path, "mine")
    assert texts(located) == {
        "train": ["t0", "t1"],
        "validation": ["t2", "t3", "t4", "t5"],
        "test": ["t6", "t7"],
    }
    assert located.place("test", 8) == (str(tmp_path / "a.csv"), 8)
    with refused("has no split 'all' (it has: train, validation, test)"):
        located.rows("all")


@pytest.mark.parametrize(
    "content", ["text,split\na,train\nb,holdout\n", "text,split\na,train\nb,\n"]
)
def test_an_unknown_split_is_an_error_with_its_line(tmp_path: Path, content: str) -> None:
    lay(tmp_path, a__csv=content)
    located = locate([Files("*", split_column="split")], "a.csv", tmp_path, "mine")
    with refused(f"{tmp_path / 'a.csv'}:3: mine: all: the column 'split' says '"):
        _ = located.splits
    with refused("a.csv:3: mine: all"):
        list(located.rows("train"))


def test_a_missing_split_column_is_an_error(tmp_path: Path) -> None:
    lay(
        tmp_path,
        a__csv="text,part\na,train\n",
        b__jsonl='{"text": "a", "split": "test"}\n{"text": "b", "splot": "test"}\n',
    )
    with refused("no column 'split'"):
        locate([Files("*", split_column="split")], "a.csv", tmp_path, "mine")
    with refused("b.jsonl:2: mine: all: no column 'split' (did you mean 'splot'?)"):
        _ = locate([Files("*", split_column="split")], "b.jsonl", tmp_path, "mine").splits
    lay(tmp_path / "c", train__csv="text\n")
    with refused("the column 'split' tells the splits, which is for a single file"):
        locate([Files("*", split_column="split")], "c", tmp_path, "mine")


def test_a_source_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    lay(tmp_path, rows__csv="text\n")
    (tmp_path / "link.csv").symlink_to("gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    stand = f"(in {tmp_path} stand: link.csv, pipe.csv, rows.csv)"
    for source, found in {
        "row.csv": "'row.csv' is missing",
        "link.csv": "'link.csv' is a link to 'gone.csv', which is not there",
        "pipe.csv": "'pipe.csv' is neither a file nor a folder",
        "rows.csv/x": "'x' is missing",
        "nul\0.csv": "'nul\\x00.csv' cannot be read: ",
        "~nobody-of-this-name/a": "'~nobody-of-this-name/a': Could not determine home directory",
        " ": "`source` is empty",
        "gone/a.csv": f"'a.csv' is missing ({tmp_path / 'gone'} is not there, either)",
    }.items():
        with refused(f"tasks.mine.source: {found}"):
            locate([ANY], source, tmp_path, "mine")
    with refused(stand):
        locate([ANY], "row.csv", tmp_path, "mine")


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    lay(tmp_path, a__csv___x="", b___train__tsv="text\n", c__csv="text\n")
    with refused("layout 'a.csv': 'a.csv' is a folder where a file is expected"):
        locate([Files("a.csv")], None, tmp_path, "mine")
    with refused("'c.csv' is a file where a folder is expected"):
        locate([Files("c.csv", splits={"train": "train.tsv"})], None, tmp_path, "mine")
    with refused(
        "the folder 'b' fits no layout of this task (there stand: train.tsv)",
        "'x-*.csv' matches no file",
    ):
        locate([Files("x", splits={"train": "x-*.csv"})], "b", tmp_path, "mine")


def test_hub_sources_are_those_that_the_task_declares(tmp_path: Path) -> None:
    declared = [
        Hub("someone/corpus", "part", revision="abc"),
        Files("*", splits={"train": "train.csv"}),
    ]
    assert locate(declared, "hub:someone/corpus/part", tmp_path, "mine").layout == declared[0]
    assert locate(declared, "hub:someone/corpus", tmp_path, "mine").layout == declared[0]
    assert locate(declared, "hub:someone/corpus/other", tmp_path, "mine").layout == Hub(
        "someone/corpus", "other", revision="abc"
    )
    with refused(
        "'hub:else/where' is no data set of this task (its plugin names: hub:someone/corpus/part)"
    ):
        locate(declared, "hub:else/where", tmp_path, "mine")
    assert locate([ANY], "hub:else/where/part", tmp_path, "mine").layout == Hub(
        "else/where", "part"
    )


@pytest.mark.parametrize(
    ("layout", "found"),
    [
        (Files("a.csv", columns="text"), "`columns` is a text"),
        (Files("a.csv", columns=("a", "b")), "a list of `columns` goes with `header=False`"),
        (Files("a.csv", header=False), "without header, `columns` lists the names"),
        (Files("a.csv", header=False, columns=("a", "a")), "`columns` names a column twice"),
        (Files("a.csv", delimiter="||"), "the delimiter '||' is not one usable character"),
        (Files("a.csv", encoding="klingon"), "the encoding 'klingon' is not known"),
        (Files("a.csv", encoding="base64"), "the encoding 'base64' is not known"),
        (
            Files("a", splits={"dev": "dev.csv"}),
            "the split 'dev' is none of train, validation, test",
        ),
        (
            Files("a", splits={"train": "a.csv"}, split_column="split"),
            "`splits` and `split_column` exclude each other",
        ),
        (
            Files("a", splits={"train": Files("b", splits={})}),
            "train: a split's own layout has no splits",
        ),
    ],
)
def test_a_wrong_declaration_comes_before_any_file(
    tmp_path: Path, layout: Files, found: str
) -> None:
    with refused("task 'mine': its layout a", f"cannot be read: {found}"):
        locate([Hub("someone/corpus"), layout], None, tmp_path, "mine")


def test_identity_tells_rows_and_how_they_are_read(tmp_path: Path) -> None:
    lay(tmp_path / "c", train__csv="text\na\n", test__csv="text\nb\n", train__parquet="")
    (tmp_path / "d").symlink_to("c")
    splits = {"train": "train.csv", "test": "test.csv"}
    layout = Files("*", splits=splits)

    def identity(layout: Files, source: str = "c") -> str:
        return locate([layout], source, tmp_path, "mine").identity

    same = [
        layout,
        Files("c", splits=dict(reversed(splits.items()))),
        replace(layout, delimiter=","),
        replace(layout, encoding="UTF_8"),
    ]
    assert {
        identity(one, source) for one in same for source in ("c", "d", str(tmp_path / "c"))
    } == {identity(layout)}
    other = [
        replace(layout, splits={"train": "train.csv"}),
        replace(layout, splits={"train": "test.csv", "test": "train.csv"}),
        replace(layout, columns={"text": "body"}),
        replace(layout, quoting="none"),
        replace(layout, encoding="latin-1"),
        replace(layout, delimiter="\t"),
        replace(layout, header=False, columns=("text",)),
    ]
    assert len({identity(one) for one in [layout, *other]}) == len(other) + 1
    hubs = [Hub("a/b"), Hub("a/b", "c"), Hub("a/b", revision="c"), Hub("a/b", columns={"c": "d"})]
    assert len({locate([hub], None, tmp_path, "mine").identity for hub in hubs}) == len(hubs)


def test_the_fingerprint_follows_content_and_split_alone(tmp_path: Path) -> None:
    one = locate(
        [ANY], "c", lay(tmp_path, c___train__csv="text\na\n", c___test__csv="text\nb\n"), "mine"
    ).fingerprint()
    assert (
        locate(
            [ANY], "d", lay(tmp_path, d___train__csv="text\na\n", d___test__csv="text\nb\n"), "mine"
        ).fingerprint()
        == one
    )
    swapped = lay(tmp_path, e___train__csv="text\nb\n", e___test__csv="text\na\n")
    changed = lay(tmp_path, f___train__csv="text\na\n", f___test__csv="text\nb!\n")
    prints = {
        one,
        *(
            locate([ANY], name, folder, "mine").fingerprint()
            for name, folder in [("e", swapped), ("f", changed)]
        ),
    }
    assert len(prints) == 3
    assert all(len(digest) == 64 for digest in prints)


def test_nothing_heavy_is_imported_to_locate_and_read_text_files(tmp_path: Path) -> None:
    lay(tmp_path, a__csv="text\na\n")
    code = (
        "import sys; from pathlib import Path; from emomtl import Files; from emomtl.data.locate"
        " import locate; print(len(list(locate([Files('a.csv')], None, Path('.'),"
        " 'mine').rows('all')))); print([name for name in ('torch', 'transformers', 'datasets',"
        " 'pyarrow', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout == "1\n[]\n", done.stderr


@needs_corpora
def test_goemotions_is_csv_with_tabs_and_has_the_published_rows() -> None:
    splits = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
    layout = Files(
        "*", splits=splits, header=False, columns=("text", "labels", "id"), delimiter="\t"
    )
    located = locate([layout], "goemotions", Path(CORPORA), "goemotions")
    found = {split: [raw.values for raw in located.rows(split)] for split in located.splits}
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 43_410,
        "validation": 5_426,
        "test": 5_427,
    }
    assert not any(
        row["text"].startswith('"') and '""' in row["text"] and row["text"].endswith('"')
        for row in found["test"]
    )
    assert all(
        label.isdigit()
        for rows in found.values()
        for row in rows
        for label in row["labels"].split(",")
    )


@needs_corpora
def test_posts_over_many_lines_are_one_row_each() -> None:
    located = locate([Files("Suicide_Detection_sample.csv")], "suicide", Path(CORPORA), "posts")
    rows = [(raw.number, raw.values["class"]) for raw in located.rows("all")]
    assert len(rows) == 14_571
    assert {label for _, label in rows} == {"suicide", "non-suicide"}
    assert rows[-1][0] > 50_000


@needs_corpora
def test_the_text_none_of_emobank_stays_a_text() -> None:
    located = locate(
        [Files("emobank.csv", split_column="split")], "emobank", Path(CORPORA), "emobank"
    )
    found = {split: [raw.values["text"] for raw in located.rows(split)] for split in located.splits}
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 8_062,
        "validation": 1_000,
        "test": 1_000,
    }
    assert sum(rows.count("None") for rows in found.values()) == 1


@needs_corpora
def test_sst2_is_read_with_quotes_as_plain_characters() -> None:
    gold = Files("test-gold.tsv", header=False, columns=("sentence", "label"), quoting="none")
    layout = Files(
        "*", splits={"train": "train.tsv", "validation": "dev.tsv", "test": gold}, quoting="none"
    )
    located = locate([layout], "sst2", Path(CORPORA), "sst2")
    found = {
        split: [raw.values["label"] for raw in located.rows(split)] for split in located.splits
    }
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 67_349,
        "validation": 872,
        "test": 1_821,
    }
    assert {label for rows in found.values() for label in rows} == {"0", "1"}


@needs_corpora
def test_sentiment140_streams_from_parquet_beside_its_latin_1_test_file() -> None:
    test = Files(
        "testdata.manual.2009.06.14.csv",
        header=False,
        columns=("polarity", "id", "date", "query", "user", "text"),
        encoding="latin-1",
    )
    located = locate(
        [Files("*", splits={"train": "train.parquet", "test": test})],
        "sentiment140",
        Path(CORPORA),
        "s140",
    )
    assert sum(1 for _ in located.rows("test")) == 498
    first = next(located.rows("train"))
    assert first.number == 1
    assert first.values["label"] in (0, 1)
    assert isinstance(first.values["text"], str)
