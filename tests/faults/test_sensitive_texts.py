"""Texts of a sensitive task stand in no output and no file of any command; planted words are looked
for in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CANARY = "zyxwvcanary"
PRIVATE = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl

def read(row):
    if "unreadable" in row["text"]:
        raise ValueError(row["text"])
    return Example(row["text"], row["label"])

def quote(row):
    if "unreadable" in row["text"]:
        raise ValueError(row["text"])
    return Example(row["text"], len(row["text"].split()) > 6 and "long" or "short")

@hookimpl
def emomtl_tasks():
    labels = Taxonomy(["joy", "anger", "sadness"])
    files = Files("*", split_column="part")
    named = Files("*", columns={"words": "text", "mood": "label"})
    return [
        Task("private", files, read, labels, head=SingleLabel(), sensitive=True),
        Task("private-named", named, read, labels, head=SingleLabel(), sensitive=True),
        Task("open-on-it", files, quote, Taxonomy(["long", "short"]), head=SingleLabel()),
    ]
"""
LABELS = ("joy", "anger", "sadness")
PARTS = ("train", "train", "validation", "test")


def rows(n: int = 96) -> list[str]:
    """Rows of which every text holds the canary, alone and joined to a number."""
    words = {"joy": "happy smiled", "anger": "hate shouted", "sadness": "cried lonely"}
    made = []
    for i in range(n):
        label, part = LABELS[i % 3], PARTS[i // 3 % 4]
        made.append(
            f"{CANARY}{i} my secret {words[label]} {CANARY}"
            f" {'so very ' * (i % 4)}{i},{label},{part}"
        )
    return made


class Watched:
    """Runs commands in a home of its own, and finds the canary in what they said and wrote."""

    def __init__(self, folder: Path, cli: Callable[..., Any]) -> None:
        self.folder, self.cli = folder, cli
        self.said: list[tuple[str, str]] = []

    def __call__(self, *arguments: object, code: int = 0) -> Any:
        said = self.cli(*arguments)
        assert said.code == code, (arguments, said.err)
        self.said.append((" ".join(map(str, arguments)), said.out + said.err))
        return said

    def outputs(self) -> list[str]:
        """The commands that said the canary."""
        return [command for command, text in self.said if CANARY in text.lower()]

    def files(self, *own: str) -> list[str]:
        """The files that hold the canary in a plain encoding, without those named, which are the
        user's own.
        """
        wanted = [CANARY.encode(coding) for coding in ("utf-8", "utf-16-le", "utf-16-be")]
        found = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name not in own:
                held = path.read_bytes().lower()
                found += (
                    [str(path.relative_to(self.folder))]
                    if any(one in held for one in wanted)
                    else []
                )
        return found


@pytest.fixture
def watched(desk: Any, cli: Any, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A desk with a sensitive corpus, in a home, a cache and a folder for temporary files that are
    all looked through.
    """
    for name, below in {
        "HOME": "home",
        "XDG_CACHE_HOME": "xdg",
        "HF_HOME": "hub",
        "TMPDIR": "tmp",
    }.items():
        (desk.folder / below).mkdir()
        monkeypatch.setenv(name, str(desk.folder / below))
    monkeypatch.setenv("EMOMTL_CACHE", str(desk.folder / "cache"))
    monkeypatch.setenv("EMOMTL_TRUST_PLUGINS", "1")  # the run brings private.py along
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("emomtl.data.cache.tokens.FEWEST", 1)
    for module in ("analyses.answers.regressions", "analyses.answers.labels", "analyses.gap"):
        # what intervals are made of is not looked at here
        monkeypatch.setattr(f"emomtl.{module}.RESAMPLES", 20)
    (desk.folder / "private.py").write_text(PRIVATE, encoding="utf-8")
    (desk.folder / "private.csv").write_text(
        "\n".join(["text,label,part", *rows(), ""]), encoding="utf-8"
    )
    monkeypatch.chdir(desk.folder)
    return Watched(desk.folder, cli)


def manifest(desk: Any, name: str = "secret", **changes: Any) -> Path:
    tasks = {"mood": None, "topics": None, "private": {"source": "private.csv"}}
    given = {
        "plugins": ["./private.py"],
        "tasks": tasks,
        "sampler": {"use": "uniform", "per_step": "all"},
    }
    given |= {
        "weighting": {"use": "equal"},
        "train": {"steps": 6},
        "eval": {"every": 6},
        "checkpoint": None,
    }
    return desk.manifest(name, **(given | changes))  # type: ignore[no-any-return]


def test_no_command_shows_a_text_of_a_sensitive_task(watched: Watched, desk: Any) -> None:
    path, out = manifest(desk), desk.folder / "out"
    out.mkdir()
    watched("tasks", "--json")
    watched("check", path)
    watched("train", path, "--out", "run", "--profile")
    watched("train", path, "--out", "run", "--resume")
    watched("train", path, "--set", "seed=6", "--out", "other")
    for run in ("run", "other"):
        watched("eval", run, "--split", "test", "--labels")
    watched("eval", "run", "--split", "train", "--json")
    pages = (
        *("--html", out / "r.html", "--markdown", out / "r.md", "--latex", out / "r.tex"),
        "--csv",
        out / "r.csv",
    )
    watched("report", "run", "--full", "--errors", "5", *pages, "--figures", out / "figures")
    watched("report", "run", "--card", out / "card.md", "--json")
    watched("compare", "run", "other")
    watched("data", "audit", path, "--html", out / "audit.html", "--allow", "test-in-train")
    watched("data", "audit", path, "--json", "--allow", "test-in-train")
    watched("analyse", "space", "run", "--out", out / "space", "--permutations", "20")
    watched("analyse", "calibration", "run", "--out", out / "calibration")
    watched("analyse", "gap", "run", "--out", out / "gap")
    watched("affinity", path, "--target", "private", "--steps", "2", code=1)
    watched("lexicon", "baseline", path, "--out", out / "baselines")
    watched("predict", "run", f"{CANARY} and more")
    watched("predict", "run", "--json", f"{CANARY} and more")
    watched("cache", "list")
    assert watched.outputs() == []
    assert watched.files("private.csv") == []


def test_words_of_a_feature_stay_in_the_run(watched: Watched, desk: Any) -> None:
    path, out = (
        manifest(desk, features={"words": {"use": "lexicon", "of": "private"}}),
        desk.folder / "out",
    )
    watched("train", path, "--out", "run")
    watched("report", "run", "--html", "r.html", "--full", "--errors", "5")
    watched("lexicon", "build", path, "--out", "words.safetensors", "--min-rows", "1")
    for shown in ((), ("--json",), ("--label", "joy"), ("--figure", "words.svg")):
        assert (
            "its words are shown nowhere"
            in watched("lexicon", "show", "words.safetensors", *shown, code=1).err
        )
    watched("analyse", "attribution", "run", "--words", "lexicon", "--out", out, "--limit", "8")
    said = watched(
        "analyse",
        "attribution",
        "run",
        "--words",
        "lexicon",
        "--out",
        out,
        "--examples",
        "3",
        code=1,
    )
    assert "is marked as sensitive" in said.err
    assert watched.outputs() == []
    assert watched.files("private.csv") == ["run/features/words.safetensors", "words.safetensors"]


@pytest.mark.parametrize("task", ["private", "open-on-it"])
@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_bad_sensitive_row_is_placed_and_not_quoted(
    watched: Watched, desk: Any, task: str, policy: str
) -> None:
    more = [
        f"unreadable {CANARY},joy,train",
        f"{CANARY} has a label,{CANARY},train",
        f"{CANARY} {'no' * 3000},joy,train",
    ]
    (desk.folder / "private.csv").write_text(
        "\n".join(["text,label,part", *rows(), *more, ""]), encoding="utf-8"
    )
    tasks = {
        "mood": None,
        "topics": None,
        task: {"source": "private.csv"},
        "private": {"source": "private.csv"},
    }
    path = manifest(desk, tasks=tasks, data={"on_bad_row": policy})
    said = watched("train", path, "--out", "run", code=0 if policy == "skip" else 1)
    assert f"{task}: train row 98: does not read (ValueError)" in said.err
    watched("check", path, code=0 if policy == "skip" else 1)
    watched("data", "audit", path, "--allow", "test-in-train", code=0 if policy == "skip" else 1)
    watched("tasks", "private", "--source", "private.csv", code=1)
    assert watched.outputs() == []
    assert watched.files("private.csv") == []


@pytest.mark.parametrize(
    ("content", "task", "said"),
    [
        (f"{CANARY} one,joy\n{CANARY} two,anger\n", "private", ": no column 'part'\n"),
        (f"{CANARY} one,{CANARY} one\na,b\n", "private", "the columns have no usable names"),
        (
            f"{CANARY} one,joy\n{CANARY} two,anger\n",
            "private-named",
            "the columns are not the layout's (words, mood)",
        ),
        (
            f"text,label,part\n{CANARY} two,anger,{CANARY}\n",
            "private",
            "the column 'part' says something else",
        ),
        (f"text,label,part\n{CANARY} two,anger\n", "private", "private.csv:2"),
        (
            f'text,label,part\n"{CANARY} two,anger,train\n',
            "private",
            "a quote is opened in this row and never closed",
        ),
    ],
    ids=[
        "no header",
        "no header, cells twice",
        "no header, named columns",
        "another split",
        "ragged",
        "open quote",
    ],
)
def test_a_file_that_does_not_read_is_not_quoted(
    watched: Watched, desk: Any, content: str, task: str, said: str
) -> None:
    (desk.folder / "private.csv").write_text(content, encoding="utf-8")
    tasks = {"mood": None, "topics": None, task: {"source": "private.csv"}}
    assert said in watched("train", manifest(desk, tasks=tasks), "--out", "run", code=1).err
    assert watched.outputs() == []


def test_predict_keeps_no_input_unless_it_is_asked_to(watched: Watched, desk: Any) -> None:
    watched("train", manifest(desk), "--out", "run")
    (desk.folder / "new.csv").write_text(f"text\n{CANARY} one\n{CANARY} two\n", encoding="utf-8")
    (desk.folder / "headless.csv").write_text(f"{CANARY} one\n{CANARY} two\n", encoding="utf-8")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet"):
        watched("predict", "run", "new.csv", "--out", name)
    watched("predict", "run", "headless.csv", "--out", "b.csv", code=1)
    assert watched.outputs() == []
    assert watched.files("private.csv", "new.csv", "headless.csv") == []
    watched("predict", "run", "new.csv", "--out", "kept.csv", "--keep")
    assert watched.files("private.csv", "new.csv", "headless.csv") == ["kept.csv"]


def test_an_own_table_can_be_marked_sensitive(watched: Watched, desk: Any) -> None:
    derived = (
        "from dataclasses import dataclass, replace\nfrom typing import ClassVar\nfrom emomtl"
        " import DerivedTask, hookimpl\n@dataclass(frozen=True)\nclass Loud(DerivedTask):\n   "
        " name: ClassVar[str] = 'loud'\n    of: str\n    def derive(self, base):\n        return"
        " replace(base, name='loud', sensitive=False)\n@hookimpl\ndef emomtl_tasks():\n    return"
        " [Loud]\n"
    )
    (desk.folder / "loud.py").write_text(derived, encoding="utf-8")
    own = {"use": "table", "source": "private.csv", "options": {"split": "part", "sensitive": True}}
    tasks = {"mood": None, "topics": None, "own": own, "loud": {"options": {"of": "own"}}}
    watched("train", manifest(desk, plugins=["./loud.py"], tasks=tasks), "--out", "run")
    watched("report", "run", "--html", "r.html", "--full", "--errors", "5")
    said = watched("predict", "run", "--task", "loud", "one more text")
    assert said.out.startswith("text 1")
    assert watched.outputs() == []
    assert watched.files("private.csv") == []
    # the same without the mark is found: what looks for the canary has eyes
    own["options"]["sensitive"] = False
    watched("train", manifest(desk, tasks=tasks | {"loud": None}), "--out", "open")
    watched("report", "open", "--html", "open.html", "--full", "--errors", "5")
    watched("predict", "open", f"{CANARY} one")
    assert [command.split()[0] for command in watched.outputs()] == ["predict"]
    assert watched.files("private.csv") == ["open.html"]
