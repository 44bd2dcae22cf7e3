"""Words of others in outputs: no terminal obeys them, no page runs them, no spreadsheet computes
them; they read as they are.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import yaml

from emomtl.contracts.label_text import clean_label
from emomtl.safety.escaping import FORMULA, NUMBER, json_text, no_formula, printable

UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
POLICY = re.compile(
    r"default-src 'none'; (script-src 'sha256-[\w+/=]{44}'; )?style-src 'sha256-[\w+/=]{44}';"
    r" base-uri 'none'; form-action 'none'"
)
LABELS = (
    *(
        "<script>window.hacked=1</script>",
        '"><svg onload=window.hacked=4>',
        'id="hover:x" onload=window.hacked=15',
    ),
    *(
        "=1+1",
        "-1.5",
        "open\x1b]8;;http://evil.example\x1b\\link",
        "red\x9b31m",
        "one\ntwo",
        "exe\u202egnp.exe",
    ),
    *("[click](javascript:window.hacked=16)", "a | `b` | c", "\\input{/etc/passwd}"),
)
RUN = '=run <svg onload=window.hacked=32> "q" \x1b[31m\u202e` ```'
TEXTS = (".html", ".md", ".tex", ".json", ".txt", ".svg")
ROUGH = ("analyses.answers.regressions", "analyses.answers.labels", "analyses.gap")


class Said(NamedTuple):
    """What a command said, and its exit code."""

    command: str
    code: int
    out: str
    err: str


class Outputs:
    """Commands that were run in a folder, with what they said and the files that they wrote into
    `out`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.said: list[Said] = []
        self.out.mkdir(parents=True)

    def __call__(self, *arguments: object, code: int = 0) -> Said:
        from emomtl.cli import main

        words = [str(argument) for argument in arguments]
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as stopped,
        ):
            main(words)
        said = Said(" ".join(words), int(stopped.value.code or 0), out.getvalue(), err.getvalue())
        assert said.code == code, (words, said.err)
        self.said.append(said)
        return said

    def read(self, name: str) -> str:
        return (self.out / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outputs(
    hostile_corpus: Callable[..., Path], payloads: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outputs]:
    """One run over a hostile corpus, and what every command says and writes of it."""
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for module in ROUGH:
            # what intervals are made of is not looked at here
            patch.setattr(f"emomtl.{module}.RESAMPLES", 20)
        yield everything(Outputs(folder), hostile_corpus(folder, LABELS), payloads)


def everything(run: Outputs, manifest: Path, payloads: dict[str, list[str]]) -> Outputs:
    """The commands, on one run."""
    out, words = run.out, [one for group in payloads.values() for one in group]
    run("check", manifest)
    run("train", manifest, "--out", RUN)
    run("eval", RUN, "--split", "test", "--labels")
    tables = ("--markdown", out / "r.md", "--latex", out / "r.tex", "--csv", out / "r.csv")
    (out / "report.json").write_text(
        run("report", RUN, "--json", "--html", out / "r.html", "--full", *tables).out,
        encoding="utf-8",
    )
    run("report", RUN, "--card", out / "card.md")
    run("compare", RUN, RUN)
    run("data", "audit", manifest, "--html", out / "audit.html", "--allow", "test-in-train")
    run("data", "audit", manifest, "--json", "--allow", "test-in-train")
    run("lexicon", "build", manifest, "--out", "words.safetensors", "--min-rows", "1")
    run("lexicon", "show", "words.safetensors", "--label", LABELS[0], "--label", LABELS[6])
    run("lexicon", "show", "words.safetensors", "--json")
    run("predict", RUN, "--", *words)
    (out / "predict.json").write_text(
        run("predict", RUN, "--json", "one text").out, encoding="utf-8"
    )
    rows = [json.dumps({"text": one, "=more\x1b": one, "number": -1.5}) for one in words]
    (run.folder / "new.jsonl").write_text("\n".join(rows), encoding="utf-8")
    for name in ("p.csv", "p.tsv", "p.jsonl"):
        run(
            "predict",
            RUN,
            "new.jsonl",
            "--out",
            out / name,
            "--text",
            "text",
            "--keep",
            "--spreadsheet-safe",
        )
    for name in ("faithful.csv", "faithful.tsv"):
        run("predict", RUN, "new.jsonl", "--out", out / name, "--text", "text", "--keep")
    return run


def seen(text: str) -> list[str]:
    """What stands around the first characters that a terminal obeys or an eye cannot see."""
    return [text[max(0, found.start() - 40) : found.end() + 20] for found in UNSEEN.finditer(text)][
        :3
    ]


def test_no_output_has_a_control_character(outputs: Outputs) -> None:
    said = {one.command: seen(one.out + one.err) for one in outputs.said}
    assert {command: found for command, found in said.items() if found} == {}
    written = [
        path
        for path in outputs.out.rglob("*")
        if path.suffix in TEXTS or path.name in ("r.csv", "p.jsonl")
    ]
    assert len(written) > 7
    held = {path.name: seen(path.read_text(encoding="utf-8")) for path in written}
    assert {name: found for name, found in held.items() if found} == {}


def test_errors_quote_names_that_nobody_obeys(
    outputs: Outputs, payloads: dict[str, list[str]]
) -> None:
    said = len(outputs.said)
    good = [json.dumps({"words": f"text {number}", "label": "x"}) for number in range(20)]
    for word in (payloads["terminal"][0], payloads["terminal"][2], payloads["unseen"][0]):
        outputs("eval", RUN, "--task", word, code=1)
        outputs("eval", RUN, "--split", word, code=2)
        outputs("report", word, code=1)
        outputs("predict", RUN, "new.jsonl", "--out", "z.csv", "--text", word, code=1)
        outputs("data", "audit", "words.toml", "--allow", word, code=1)
        outputs("train", "words.toml", "--set", f"tasks.own.use='{word}'", code=1)
        outputs("tasks", word, code=1)
        outputs("eval", RUN, f"--{word}", code=2)
        own = 'tasks.own={use="table",source="bad.jsonl",options={text="words",labels=["x"]}}'
        for bad in ({"words": word, "label": f"y{word}"}, {word: word}):
            (outputs.folder / "bad.jsonl").write_text(
                "\n".join([*good, json.dumps(bad)]), encoding="utf-8"
            )
            assert "bad.jsonl:21" in outputs("check", "words.toml", "--set", own, code=1).err
    assert {
        one.command: found for one in outputs.said[said:] if (found := seen(one.out + one.err))
    } == {}


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.texts += [] if self.inside else [data]

    def faults(self) -> list[Any]:
        """What could run, load or lead elsewhere."""
        wrong: list[Any] = []
        for tag, attributes in self.elements:
            if tag in (
                "iframe",
                "object",
                "embed",
                "base",
                "link",
                "img",
                "form",
                "foreignobject",
                "animate",
                "set",
                "a:set",
            ):
                wrong.append(tag)
            for name, value in attributes.items():
                outside = name in ("href", "src", "xlink:href", "action", "srcdoc") and not (
                    value or ""
                ).startswith("#")
                picture = tag == "image" and (value or "").startswith("data:image/png;base64,")
                if name.startswith("on") or name == "style" or (outside and not picture):
                    wrong.append((tag, name, value))
        return wrong


def check_page(text: str, shown: Sequence[str]) -> None:
    """The page runs nothing but its own script, by a strict policy, and shows the words."""
    page = Page(text)
    assert page.faults() == []
    policy = [
        a["content"]
        for tag, a in page.elements
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policy) == 1
    assert POLICY.fullmatch(policy[0] or "")
    scripts = sum(tag == "script" for tag, _ in page.elements)
    assert scripts == ("script-src" in (policy[0] or ""))
    words = "".join(page.texts)
    assert [one for one in shown if printable(one) not in words and one not in words] == []


def test_pages_run_nothing_and_show_the_words(outputs: Outputs) -> None:
    check_page(outputs.read("r.html"), LABELS)
    check_page(outputs.read("audit.html"), LABELS)


def check_cells(text: str, delimiter: str = ",") -> list[list[str]]:
    """The rows of a CSV file in which no cell begins a formula."""
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    assert [
        cell
        for row in rows
        for cell in row
        if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell)
    ] == []
    return rows


def test_no_cell_of_csv_begins_a_formula(outputs: Outputs, payloads: dict[str, list[str]]) -> None:
    cells = {cell for row in check_cells(outputs.read("r.csv")) for cell in row}
    assert {"'=1+1", "-1.5"} <= cells
    for name, delimiter in (("p.csv", ","), ("p.tsv", "\t")):
        text = (outputs.out / name).read_bytes().decode()
        header, *rows = check_cells(text, delimiter)
        assert header[:4] == ["text", "'=more\x1b", "number", "own"]
        assert {row[2] for row in rows} == {"-1.5"}
        words = [one for group in payloads.values() for one in group]
        assert [row[0] for row in rows] == [no_formula(one) for one in words]


def test_predictions_hold_the_words_unchanged_unless_a_spreadsheet_is_meant(
    outputs: Outputs, payloads: dict[str, list[str]]
) -> None:
    words = [one for group in payloads.values() for one in group]
    for name, delimiter in (("faithful.csv", ","), ("faithful.tsv", "\t")):
        text = (outputs.out / name).read_bytes().decode()
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        assert header[:4] == ["text", "=more\x1b", "number", "own"]
        assert [row[:2] for row in rows] == [[word, word] for word in words]


def test_json_reads_back_as_it_was(outputs: Outputs) -> None:
    assert set(json.loads(outputs.read("predict.json"))["own"]["probabilities"]) == set(LABELS)
    assert LABELS[6] in {
        cell
        for table in json.loads(outputs.read("report.json"))["tables"]
        for row in table["rows"]
        for cell in row
    }
    first = json.loads(outputs.read("p.jsonl").splitlines()[0])
    assert {f"own:{label}" for label in LABELS} <= set(first)


ALLOWED = {
    "h1",
    "h2",
    "h3",
    "p",
    "ul",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "pre",
}


def rendered(text: str) -> Page:
    """What Markdown becomes, with tables and raw HTML on."""
    return Page(reader().render(text))


@cache
def reader() -> Any:
    """Markdown as the sites that show it read it."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def test_markdown_shows_the_words_as_text(outputs: Outputs) -> None:
    page = rendered(outputs.read("r.md"))
    assert {tag for tag, _ in page.elements} <= ALLOWED
    assert [label for label in LABELS if printable(label) not in page.texts] == []


def test_the_metadata_of_a_card_reads_back(outputs: Outputs) -> None:
    _, top, rest = outputs.read("card.md").split("---\n", 2)
    data = yaml.safe_load(top)
    (result,) = data["model-index"][0]["results"]
    assert data["model-index"][0]["name"] == "words"
    assert (result["dataset"]["name"], result["dataset"]["split"]) == ("own", "test")
    assert isinstance(result["metrics"][0]["value"], float)
    assert {tag for tag, _ in rendered(rest).elements} <= ALLOWED


def test_every_payload_stands_for_itself_in_markdown(payloads: dict[str, list[str]]) -> None:
    from emomtl.contracts.analysis import Table
    from emomtl.report.formats.markdown import code, escape, markdown

    for one in [*(one for group in payloads.values() for one in group), "12. item", "1) item"]:
        for around, inside in (("{}", "p"), ("- {}", "li"), ("# {}", "h1")):
            page = rendered(around.format(escape(one)))
            assert {tag for tag, _ in page.elements} <= {"p", "ul", "li", "h1"}, (one, inside)
            assert "".join(page.texts).strip() == printable(one).strip()
        assert "".join(rendered(code(one)).texts).strip() == printable(one).strip()
        tables = [Table(one, ("a", one), ((one, 1.0), ("b", None)), (one,))]
        page = rendered(markdown(tables))
        assert {tag for tag, _ in page.elements} <= ALLOWED - {"code", "pre"}
        assert [text.strip() for text in page.texts].count(printable(one).strip()) == 4


def test_every_payload_is_escaped_in_every_format(payloads: dict[str, list[str]]) -> None:
    from emomtl.analyses.card import front_matter
    from emomtl.contracts.analysis import Table
    from emomtl.report.formats.csv_output import as_csv
    from emomtl.report.formats.latex import escape

    words = [one for group in payloads.values() for one in group]
    content = {
        "words": words,
        "by": {one: one for one in words},
        "figures": [1e-5, 0.25, -0.0, 1e22, 3, None, True],
    }
    text = front_matter(content)
    assert yaml.safe_load(text.split("\n---")[0]) == content
    assert seen(text) == []
    assert json.loads(json_text(content, indent=2)) == content
    assert seen(json_text(content, indent=2)) == []
    rows = check_cells(as_csv([Table("t", ("a", "b"), tuple((one, -0.5) for one in words))]))
    assert [row[1] for row in rows[2:]] == ["-0.5"] * len(words)
    for one in words:
        bare = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]|\{[*\[]\}", "", escape(one))
        assert not re.search(r"[\\{}$&#^_%~*\[]", bare), (one, escape(one))


def test_every_payload_is_a_title_in_a_picture(payloads: dict[str, list[str]]) -> None:
    from matplotlib.figure import Figure

    from emomtl.report.drawing import as_svg, hover
    from emomtl.report.html_page.svg import inline

    words = [one for group in payloads.values() for one in group]
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.set_axis_off()
    for place, one in enumerate(words):
        axes.plot([0, 1], [place, place], gid=hover(one))
    axes.set_title(" ".join(map(printable, words[:3])), parse_math=False)
    svg = as_svg(figure)
    assert seen(svg) == []
    ElementTree.fromstring(svg)
    for title in (*words[:6], words[-1], "\\input"):
        page = Page(f"<html>{inline(svg, title)}</html>")
        assert page.faults() == []
        assert page.elements[1][1]["aria-label"] == printable(title)
    told = [text for text in page.texts if text.strip()]
    assert told == [printable(one) for one in words]


def test_a_terminal_with_colours_gets_no_escape_of_others(
    payloads: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomtl.cli.output import console, make_table, say
    from emomtl.contracts.analysis import Table
    from emomtl.report.terminal import show

    words = [one for group in payloads.values() for one in group]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        screen = console()
        for one in words:
            say(one)
            screen.print(one)
        screen.print(make_table(words[30], words[:3], [[one, one, 1.0] for one in words]))
        show([Table(one, ("a", one), ((one, 1.0),), (one,)) for one in words], screen)
    assert "\x1b[1m" in out.getvalue()
    assert seen(re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())) == []
    assert seen(err.getvalue()) == []
    assert len(err.getvalue().splitlines()) == len(words)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_every_payload_through_every_command(
    hostile_corpus: Callable[..., Path],
    payloads: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tomli_w

    for module in ROUGH:
        monkeypatch.setattr(f"emomtl.{module}.RESAMPLES", 20)
    monkeypatch.chdir(tmp_path)
    # labels are kept without invisible characters at their ends; what is nothing else is none
    cleaned = (clean_label(one) for group in payloads.values() for one in group)
    labels = [one for one in dict.fromkeys([*LABELS, *cleaned]) if one]
    run, out = Outputs(tmp_path), tmp_path / "out"
    manifest = hostile_corpus(tmp_path, labels)
    everything(run, manifest, payloads)
    run("train", manifest, "--set", "seed=6", "--out", "two")
    run("report", RUN, "two", "--html", out / "both.html", "--figures", out / "figures")
    run("compare", RUN, "two")
    run("analyse", "space", RUN, "two", "--out", out / "space", "--permutations", "20")
    run("analyse", "calibration", RUN, "--out", out / "calibration")
    run("analyse", "gap", RUN, "--out", out / "gap")
    run("lexicon", "show", "words.safetensors", "--figure", out / "words.svg")
    run("lexicon", "baseline", manifest, "--out", out / "baselines")
    hostile_corpus(
        tmp_path / "base", labels[:6], train={"steps": None, "target": "own", "target_updates": 4}
    )
    rows = [
        {"name": payloads["html"][3] + payloads["terminal"][0]},
        {"name": "=1 | `x` \u202e[a](b)", "manifest": {"train": {"lr": 2e-2}}},
    ]
    study = {
        "name": "small",
        "about": payloads["html"][0],
        "base": "base/words.toml",
        "target": "own",
        "seeds": [1, 2],
    }
    (tmp_path / "study.toml").write_text(tomli_w.dumps({**study, "rows": rows}), encoding="utf-8")
    run("study", "study.toml", "--out", out / "study", "--runs", "runs")
    run(
        "report",
        out / "study",
        "--figures",
        out / "study-figures",
        "--csv",
        out / "study.csv",
        "--json",
    )
    assert {one.command: found for one in run.said if (found := seen(one.out + one.err))} == {}
    for path in out.rglob("*"):
        text = path.read_text(encoding="utf-8") if path.suffix in (*TEXTS, ".csv") else ""
        # answers to rows: their texts and labels are as they are
        of_data = path.name in ("p.csv", "faithful.csv")
        assert of_data or seen(text) == [], path
        if path.suffix == ".html":
            check_page(text, [])
        elif path.suffix == ".csv" and not of_data:
            check_cells(text)
        elif path.suffix == ".md":
            assert {tag for tag, _ in rendered(text.split("---\n", 2)[-1]).elements} <= ALLOWED | {
                "img"
            }, path
        elif path.suffix == ".svg":
            ElementTree.fromstring(text)
