"""What all tests share: `--long`, the real corpora, a tiny encoder, and a desk on which small runs
are written and trained.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# before anything imports torch: small runs are slower on several threads
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

if TYPE_CHECKING:
    from emomtl.run import Run
    from emomtl.train import Display, Session

WORDS = {
    "joy": "happy love wonderful friends birthday laughed best smiled",
    "anger": "angry hate awful terrible broke shouted worst never",
    "sadness": "sad lonely cried lost died tired without sorry",
    "fear": "afraid scared worried night alone exam dark waited",
}
FILLER = "the a i my we you it was today and so very really then home work friend day"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long` runs the tests that take minutes."""
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what takes minutes unless asked for, and what needs a GPU where there is none."""
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --long"))
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


QUICK_WEIGHTINGS = {"equal", "famo", "gradnorm", "pcgrad", "task-prioritisation", "uncertainty"}
"""One weighting of each kind: tests that train with every weighting train with the others where
`--long` is given.
"""


def weightings_mostly_long(names: Sequence[str]) -> list[Any]:
    """Parameters for tests that train with each of these weightings."""
    return [
        name if name in QUICK_WEIGHTINGS else pytest.param(name, marks=pytest.mark.long)
        for name in names
    ]


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def token_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The token cache of these tests and of every process that they start; never the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOMTL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with local copies of the corpora, from the environment; without it the test is
    skipped.
    """
    folder = os.environ.get("EMOMTL_CORPORA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EMOMTL_CORPORA does not name a folder with the corpora")
    return Path(folder)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny encoder, made once."""
    from emomtl.testing import tiny_encoder

    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


def sentences(n: int, labels: list[str], seed: int) -> list[tuple[str, str]]:
    """n short texts with one label each, which their words give away, and all different."""
    import numpy as np

    draw = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        label = labels[int(draw.integers(len(labels)))]
        words = [
            *draw.choice(WORDS[label].split(), 2),
            *draw.choice(FILLER.split(), int(draw.integers(2, 12))),
        ]
        rows.append((" ".join(map(str, draw.permutation(words))) + f" {number}", label))
    return rows


class Desk:
    """A folder with two small corpora (`mood`: three labels; `topics`: several labels a text) and
    manifests over them.
    """

    def __init__(self, folder: Path, encoder: Path) -> None:
        self.folder, self.encoder = folder, encoder
        folder.mkdir(parents=True, exist_ok=True)
        self.table("mood", 48, ["joy", "anger", "sadness"], seed=1)
        self.table("topics", 36, ["joy", "anger", "sadness", "fear"], seed=2, second=True)

    def table(self, name: str, n: int, labels: list[str], seed: int, second: bool = False) -> Path:
        """Write `name.csv` with n training rows, half as many for validation and for test."""
        lines = ["text,label,part"]
        for place, (text, label) in enumerate(sentences(2 * n, labels, seed)):
            other = labels[place % len(labels)]
            cell = f"{label}|{other}" if second and other != label else label
            part = "train" if place < n else "validation" if place % 2 else "test"
            lines.append(f"{text},{cell},{part}")
        path = self.folder / f"{name}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def manifest(self, name: str = "small", **changes: Any) -> Path:
        """Write a manifest; `changes` are tables by name, laid over the defaults (`train={"steps":
        4}`; None removes a key).
        """
        import tomli_w

        options = {"split": "part"}
        content: dict[str, Any] = {
            "name": name,
            "seed": 5,
            "encoder": {"use": str(self.encoder), "max_tokens": 16, "pooling": "mean"},
            "tasks": {
                "mood": {"use": "table", "source": "mood.csv", "options": options},
                "topics": {
                    "use": "table",
                    "source": "topics.csv",
                    "options": options,
                    "head": {"use": "multi-label"},
                },
            },
            "sampler": {"use": "annealed", "per_step": "one"},
            "weighting": {"use": "uncertainty"},
            "train": {
                "steps": 6,
                "batch_size": 8,
                "lr": 1e-3,
                "log_every": 2,
                "accumulate": 1,
                "threads": 1,
            },
            "eval": {"every": 3},
            "checkpoint": {"every": 1},
        }
        path = self.folder / f"{name}.toml"
        path.write_text(tomli_w.dumps(_laid_over(content, changes)), encoding="utf-8")
        return path

    def begin(
        self,
        manifest: Path,
        out: str = "run",
        resume: bool = False,
        overrides: list[str] | None = None,
        **more: Any,
    ) -> Session:
        """A session of the manifest in the folder `out`, as `emomtl train` makes it; `plugins` and
        `display` may be given.
        """
        from emomtl.compose import compose_file
        from emomtl.plugins.discovery import Plugins
        from emomtl.train import Display, start
        from emomtl.train import resume as go_on

        display: Display = more.pop("display", None) or Display()
        plan = compose_file(
            manifest, overrides or [], more.pop("plugins", None) or Plugins.discover()
        )
        folder = self.folder / out
        return go_on(plan, folder, display, **more) if resume else start(plan, folder, display)

    def train(self, manifest: Path, out: str = "run", **more: Any) -> Run:
        """Train to the end and give the run, closed."""
        from emomtl.train import train

        session = self.begin(manifest, out, **more)
        train(session)
        return session.run

    def train_stages(
        self, manifest: Path, out: str = "run", again: bool = False, plugins: Any = None
    ) -> list[Run]:
        """Train all stages of a manifest, as `emomtl train` does, or with `again` as its
        `--resume`; gives their runs.
        """
        from emomtl.compose import compose_file, remaining, stages
        from emomtl.plugins.discovery import Plugins
        from emomtl.train import Display, resume, start, train

        every = stages(compose_file(manifest, [], plugins or Plugins.discover()), self.folder / out)
        runs = []
        for number, (plan, folder) in enumerate(remaining(every) if again else every):
            begun = again and number == 0
            session = resume(plan, folder, Display()) if begun else start(plan, folder, Display())
            train(session)
            runs.append(session.run)
        return runs

    @staticmethod
    def stopping(step: int | None = None, run: str | None = None) -> Any:
        """Installed plugins that stop the process, as Ctrl-C does, when a checkpoint is complete.

        At every checkpoint, or only at that of `step`, or of the run called `run`.
        """
        from emomtl.plugins.discovery import Plugins

        class Stopping(Plugins):
            def emit(self, event: str, **facts: Any) -> list[Any]:
                answers = super().emit(event, **facts)
                if event == "emomtl_checkpointed":
                    is_run = run is None or facts["run"].name == run
                    is_step = step is None or facts["path"].name == f"step-{step:08}"
                    if is_run and is_step:
                        raise KeyboardInterrupt
                return answers

        return Stopping.discover()


def _laid_over(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _laid_over(merged[key], value)
        else:
            merged[key] = value
    return merged


@pytest.fixture(scope="session")
def payloads() -> dict[str, list[str]]:
    """Hostile words of ours, by what they aim at: pages, spreadsheets, terminals, eyes, Markdown,
    LaTeX, YAML.
    """
    found: dict[str, list[str]] = json.loads(
        (Path(__file__).parent / "payloads.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture(scope="session")
def hostile_corpus(encoder: Path, payloads: dict[str, list[str]]) -> Callable[..., Path]:
    """A maker of manifests over a corpus of hostile texts, labels, columns and file names: (folder,
    labels, more tables).
    """
    words = [one for group in payloads.values() for one in group]

    def make(folder: Path, labels: Sequence[str], **tables: Any) -> Path:
        import tomli_w

        text, label, rows = '<b onclick="window.hacked=30">text\x1b[31m\u202e', '=label|"x', []
        for number, part in enumerate(("train", "train", "train", "validation", "test")):
            for place, name in enumerate(labels):
                said = (
                    f"{words[(number * 37 + place * 7) % len(words)]} word{place}"
                    f" {words[(number + place * 3) % len(words)]}"
                )
                rows.append(json.dumps({text: f"{said} {number}", label: name, "part": part}))
        (folder / "a <img src=x onerror=window.hacked=31>").mkdir(parents=True)
        source = folder / "a <img src=x onerror=window.hacked=31>" / '"q" \x1b[31m=\u202e`.jsonl'
        source.write_text("\n".join(rows), encoding="utf-8")
        options = {
            "text": text,
            "label": label,
            "split": "part",
            "separator": "\x01",
            "labels": list(labels),
        }
        content: dict[str, Any] = {
            "name": "words",
            "seed": 5,
            "encoder": {"use": str(encoder), "max_tokens": 16, "pooling": "mean"},
            "tasks": {"own": {"use": "table", "source": str(source), "options": options}},
            "sampler": {"use": "uniform", "per_step": "all"},
            "weighting": {"use": "equal"},
            "train": {"steps": 20, "batch_size": 16, "lr": 1e-2, "log_every": 10, "threads": 1},
            "eval": {"every": 20},
        }
        path = folder / "words.toml"
        path.write_text(tomli_w.dumps(_laid_over(content, tables)), encoding="utf-8")
        return path

    return make


@pytest.fixture
def desk(tmp_path: Path, encoder: Path) -> Desk:
    """A desk of this test's own."""
    return Desk(tmp_path / "desk", encoder)


@pytest.fixture(scope="session")
def make_desk(encoder: Path) -> Callable[[Path], Desk]:
    """A maker of desks, for runs that several tests share."""
    return lambda folder: Desk(folder, encoder)


@pytest.fixture(scope="session")
def trained(make_desk: Callable[[Path], Desk], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 40 steps over two tasks; a test that writes into it copies it first."""
    desk = make_desk(tmp_path_factory.mktemp("trained"))
    return desk.train(
        desk.manifest(
            train={"steps": 40}, sampler={"per_step": "all"}, eval={"every": 20}, checkpoint=None
        )
    )


@pytest.fixture(scope="session")
def contents() -> Callable[[Run | Path, str], dict[str, Any]]:
    """A function that gives all that a run's checkpoint, `last` or another, holds: see
    `run_contents`.
    """
    return run_contents


@dataclass(frozen=True)
class Said:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the real command line in this process; what is no exit (a traceback for the user) fails
    the test.
    """
    from emomtl.cli import main

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return Said(stopped.value.code, found.out, found.err)

    return run


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a distribution for this test: its name, its modules with their source, and its entry
    points by name.
    """

    def make(
        name: str, modules: dict[str, str], entries: dict[str, str], version: str = "1.0"
    ) -> None:
        folder = tmp_path / f"site-{name}"
        about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        lines = [f"{entry} = {module}" for entry, module in entries.items()]
        (about / "entry_points.txt").write_text("\n".join(["[emomtl]", *lines, ""]))
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(folder)

    return make


def run_contents(run: Run | Path, which: str = "last") -> dict[str, Any]:
    """The tensors of model, optimiser and weighting as bytes with their types, the state, the
    scores and the events.
    """
    from emomtl.run import Run, find_checkpoint, open_checkpoint

    opened = Run.open(run) if isinstance(run, Path) else run
    checkpoint = open_checkpoint(find_checkpoint(opened, which))
    tensors = {
        f"{part}:{name}": (str(tensor.dtype), tensor.numpy().tobytes())
        for part in ("model", "optimizer", "weighting")
        for name, tensor in checkpoint.tensors(part).items()
    }
    return {
        "tensors": tensors,
        "state": checkpoint.state["run"],
        # two equal runs start in other ways, and take other times
        "events": [
            event | {"seconds": None} for event in opened.events() if event["event"] != "start"
        ],
        "scores": opened.scores(),
        "links": {link: find_checkpoint(opened, link).resolve().name for link in ("last", "best")},
    }
