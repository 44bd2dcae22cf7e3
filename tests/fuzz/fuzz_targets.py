"""Everything that reads what comes from outside, as functions of bytes: what they raise beside
`EmomtlError` is a bug.

Used by the tests beside it, and by `atheris_targets.py`. A target has seeds of real layouts, from
which inputs are made.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from emomtl.errors import EmomtlError

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "tasks" / "manifests"
TEXTS = (
    "NA",
    'a "quoted" word, and more',
    "café 😀 ‮",
    "line\nbreak",
    "",
    "x" * 300,
    "=1+1",
    "[NAME] said so",
)


@dataclass(frozen=True)
class Target:
    """One reader: what it is given at first, and what reads it in an empty folder. `slow` ones take
    a tenth of a second.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    words: Sequence[bytes] = field(
        default=(b'"', b"\0", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80")
    )
    json: bool = False
    slow: bool = False

    def __call__(self, data: bytes, folder: Path) -> EmomtlError | None:
        """Read an input; gives the error where there is one of ours, and lets everything else pass."""
        try:
            self.read(data, folder)
        except EmomtlError as error:
            return error
        return None


# -- manifests, studies, claims
# -----------------------------------------------------------------------------------------------

TOML_WORDS = (
    b"[",
    b"]]",
    b"[tasks.x]\n",
    b"=",
    b".",
    b"{",
    b'"""',
    b"'''",
    b"nan",
    b"inf",
    b"1e999",
    b"1979-05-27",
    b"\\u0000",
    b"#",
)


def tomls(*patterns: str) -> Callable[[], list[bytes]]:
    return lambda: [
        path.read_bytes() for pattern in patterns for path in sorted(MANIFESTS.glob(pattern))
    ]


def read_manifest(data: bytes, folder: Path) -> None:
    from emomtl.manifest import read_draft, read_manifest

    (folder / "m.toml").write_bytes(data)
    draft = read_draft(folder / "m.toml", ["train.lr=1e-4"])
    for problem in draft.problems:
        assert str(problem).isprintable()
        draft.placed(problem)
    read_manifest(folder / "m.toml")


def read_override(data: bytes, folder: Path) -> None:
    from emomtl.manifest import read_draft

    (folder / "m.toml").write_bytes((MANIFESTS / "quickstart.toml").read_bytes())
    for problem in read_draft(
        folder / "m.toml", [data.decode("utf-8", "surrogateescape")]
    ).problems:
        assert str(problem).isprintable()


def read_study(data: bytes, folder: Path) -> None:
    from emomtl.study.reading import read_study

    (folder / "study").mkdir()
    for base in MANIFESTS.glob("*.toml"):
        (folder / base.name).write_bytes(base.read_bytes())
    (folder / "study" / "s.toml").write_bytes(data)
    file = read_study(folder / "study" / "s.toml")
    for row in file.every():
        file.manifest(row)
    file.against()


def read_claims(data: bytes, folder: Path) -> None:
    from emomtl.study.claims import judge, read_claims

    (folder / "c.toml").write_bytes(data)
    judge(read_claims(folder / "c.toml"), [folder])


CLAIM = b"""title = "t"
[[claims]]
says = "a gains"
evidence = [{ study = "s", row = "a" }, { analysis = "space.json", at = ["rows", "a"] }]
"""
DIFFERENCE = {"value": 0.1, "low": 0.05, "high": 0.15}
RESULT = {
    "study": "s",
    "rows": [
        {"row": "b", "state": "reference", "comparison": None},
        {
            "row": "a",
            "state": "done",
            "comparison": {"difference": DIFFERENCE, "seeds": 3, "p_holm": 0.01},
        },
    ],
}
MEASURED = {"rows": [{"name": "a", **DIFFERENCE, "seeds": 3}]}


def read_result(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from emomtl.study.claims import judge, read_claims

        (folder / "c.toml").write_bytes(CLAIM)
        (folder / name).write_bytes(data)
        judge(read_claims(folder / "c.toml"), [folder])

    return read


def read_gains(ending: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from emomtl.analyses.affinity.gains import read_gains

        (folder / f"gains{ending}").write_bytes(data)
        read_gains(folder / f"gains{ending}")

    return read


def read_words(data: bytes, folder: Path) -> None:
    from emomtl.analyses.attribution.words import file_words

    (folder / "words.txt").write_bytes(data)
    file_words(folder / "words.txt")


# -- rows
# ---------------------------------------------------------------------------------------------------------------------


def delimited(rows: Sequence[Sequence[Any]], delimiter: str = ",") -> bytes:
    import csv

    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def jsonl(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def parquets() -> list[bytes]:
    columns = {"text": list(TEXTS) * 3, "label": ["joy", "joy", "anger"] * 8, "n": list(range(24))}
    nested = {
        "text": list(TEXTS) * 3,
        "label": ([["joy"], ["joy", "anger"], None, [], ["anger"]] * 5)[:24],
        "more": [{"a": 1}] * 24,
    }
    kinds: list[dict[str, Any]] = [
        {},
        {"compression": "zstd", "use_dictionary": False},
        {"data_page_version": "2.0"},
    ]
    return [parquet(made, **options) for made in (columns, nested) for options in kinds]


def shipped(
    name: str, files: dict[str, bytes], wanted: str, **options: Any
) -> Callable[[bytes, Path], None]:
    """Reads a shipped task's rows, one of its files as given."""

    def read(data: bytes, folder: Path) -> None:
        from emomtl import MultiLabel
        from emomtl.contracts.task import Task
        from emomtl.data.bound_task import BoundTask, ReadOptions
        from emomtl.data.locate import locate
        from emomtl.data.tasks import read_tasks
        from emomtl.manifest import TaskTable

        task = _offer(name)
        made = task if isinstance(task, Task) else task(**options).task()
        for file, content in {**files, wanted: data}.items():
            (folder / file).write_bytes(content)
        source = str(folder) if len(files) > 1 else str(folder / wanted)
        for on_bad_row in ("skip", "stop"):
            located = locate(made.layouts, source, folder, name)
            head = MultiLabel() if name == "table" else made.head
            bound = BoundTask(name, made, head, TaskTable(limit=5), located)
            read_tasks([bound], ReadOptions(on_bad_row=on_bad_row, leaks="count"))

    return read


@lru_cache
def _offer(name: str) -> Any:
    from emomtl.plugins.discovery import Plugins

    return Plugins.discover().offer("task", name).value


GO = {
    name: delimited(
        [[text, "2,14" if text else "27", f"id{number}"] for number, text in enumerate(TEXTS)], "\t"
    )
    for name in ("train.tsv", "dev.tsv", "test.tsv")
}
SST = {
    "train.tsv": b"sentence\tlabel\nfine , really\t1\nbad\t0\n",
    "dev.tsv": b'sentence\tlabel\nok "then\t1\n',
}
TWEETS = delimited([["0", "1", "d", "NO_QUERY", "u", text] for text in TEXTS if text.isascii()])
TEST_TWEETS = delimited(
    [["4", "1", "d", "q", "u", "good &amp; well"], ["2", "1", "d", "q", "u", "so so"]]
)
S140 = {
    "training.1600000.processed.noemoticon.csv": TWEETS,
    "testdata.manual.2009.06.14.csv": TEST_TWEETS,
}
SUICIDE = delimited(
    [
        ["", "text", "class"],
        *[[n, text, "suicide" if n % 2 else "non-suicide"] for n, text in enumerate(TEXTS)],
    ]
)
BANK = delimited(
    [
        ["id", "split", "V", "A", "D", "text"],
        *[
            [n, "train" if n % 2 else "dev", "3.0", "2.5", "1", text]
            for n, text in enumerate(TEXTS)
        ],
    ]
)
TABLE = delimited(
    [
        ["text", "label"],
        *[[text or "x", "joy|anger" if n % 2 else "joy"] for n, text in enumerate(TEXTS * 3)],
    ]
)
TABLE_JSON = jsonl(
    [
        {
            "text": text or "x",
            "label": ["joy", None, "anger", "joy", {"joy": 0.5}, ["joy", "anger"], "anger", "joy"][
                n % 8
            ],
        }
        for n, text in enumerate(TEXTS)
    ]
)

# -- files of tensors
# ---------------------------------------------------------------------------------------------------------


@lru_cache
def lexicon() -> bytes:
    import numpy as np

    from emomtl.contracts.feature import TrainingRows
    from emomtl.lexicon import Lexicon

    rows = TrainingRows(
        ["so happy", "so sad", "happy day", "sad day"],
        ("joy", "sadness"),
        np.eye(2, dtype=bool)[[0, 1, 0, 1]],
    )
    return Lexicon.learn(rows, min_rows=1).learned().to_bytes()


def read_lexicon(data: bytes, folder: Path) -> None:
    from emomtl.contracts.feature import Learned
    from emomtl.lexicon import Lexicon

    found = Lexicon.of(Learned.from_bytes(data, "x"))
    found.features(["so happy"])
    found.top(found.labels[0] if found.labels else "joy")


def lexicon_of(data: bytes, folder: Path) -> None:
    """A file whose digest fits, whatever it says: arrays as they were, and its words as given."""
    from emomtl.contracts.feature import Learned
    from emomtl.lexicon import Lexicon

    try:
        about = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(about, dict):
        good = Learned.from_bytes(lexicon(), "x")
        try:
            made = Learned(good.arrays, about).to_bytes()
        except (ValueError, TypeError):  # NaN
            return
        found = Lexicon.of(Learned.from_bytes(made, "x"))
        found.features(["so happy"])


# -- runs
# ---------------------------------------------------------------------------------------------------------------------


@lru_cache
def small_run() -> dict[str, bytes]:
    """The files of a small run with a checkpoint, events, scores and answers; its links are left
    out.

    Its `run.json` has no digest, so that the other files need none either.
    """
    import tempfile

    import numpy as np
    import torch

    from emomtl.manifest.models import EncoderTable, Manifest, TaskTable
    from emomtl.run import Run, save_checkpoint
    from emomtl.run.predictions import save_predictions

    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(
            name="small", encoder=EncoderTable(use="minilm"), tasks={"demo": TaskTable()}
        )
        environment = {
            "data": {"demo": "ab" * 32},
            "features": {"x": "cd" * 32},
            "sizes": {"demo": 4},
            "threads": 1,
        }
        record = {"demo": {"module": "m", "distribution": "d", "version": "1", "sha256": "ef" * 32}}
        with Run.create(Path(folder, "run"), manifest, {**environment, "plugins": record}) as run:
            parts = {
                "model": {"w": torch.ones(2, 3)},
                "optimizer": {"exp_avg:w": torch.zeros(2, 3)},
                "weighting": {},
            }
            run.log_event("start", step=0)
            run.log_event(
                "step",
                step=1,
                losses={"demo": 0.5},
                weights={},
                probabilities={},
                counts={"demo": 1},
                updates={"demo": 1},
            )
            run.log_event("evaluation", step=1, scores={"demo": {"macro_f1": 0.5}})
            run.log_event("finish", step=1, reason="finished", skipped=0)
            state = {
                "run": {"step": 1, "counts": {"demo": 1}},
                "events": run.events_size(),
                "labels": {"demo": ["joy", "anger"]},
            }
            path = save_checkpoint(run, 1, parts, state)
            digest = save_predictions(
                run,
                "test",
                path.name,
                {"demo": (np.array([0, 1]), np.array([[0.25, 0.75], [0.5, 0.5]]))},
            )
            scores = {
                "rows": 2,
                "metrics": {"macro_f1": 0.5, "rmse": None},
                "tables": {"": [{"label": "joy", "f1": 0.5}]},
            }
            for which, by in (("best", "train"), ("last", "train"), ("best", "eval")):
                entry = {
                    "split": "test",
                    "which": which,
                    "checkpoint": path.name,
                    "step": 1,
                    "by": by,
                    "answers": digest,
                }
                run.add_scores({**entry, "tasks": {"demo": scores}})
        about = json.loads(Path(folder, "run", "run.json").read_text())
        Path(folder, "run", "run.json").write_text(
            json.dumps({key: value for key, value in about.items() if key != "sha256"})
        )
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(Path(folder).rglob("*"))
            if file.is_file()
        }


def run_file(name: str) -> Callable[[], list[bytes]]:
    """A file of the run; it says no digest of itself, so that whatever is changed is read."""

    def seeds() -> list[bytes]:
        data = small_run()[next(file for file in small_run() if file.endswith(name))]
        if name in ("environment.json", "scores.json"):
            return [
                json.dumps(
                    {key: value for key, value in json.loads(data).items() if key != "sha256"}
                ).encode()
            ]
        return [data.rpartition(b"# sha256 ")[0] or data]

    return seeds


def run_answers() -> list[bytes]:
    return [data for file, data in small_run().items() if "/answers/" in file]


def put(folder: Path, name: str, data: bytes, files: dict[str, bytes]) -> Path:
    """The small run in a folder, with one file as given."""
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data if file.endswith(name) else content)
    return folder / "run"


def read_run(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from emomtl.report.collect import collect
        from emomtl.run import Run, find_checkpoint, open_own
        from emomtl.run.predictions import recorded_predictions

        place = put(folder, name, data, small_run())
        run = Run.open(place)
        collect([place])
        list(run.events())
        for entry in run.scores():
            recorded_predictions(run, entry["split"], entry["checkpoint"], "demo")
        checkpoint = open_own(run, find_checkpoint(run, "1"))
        _ = checkpoint.labels, checkpoint.tensors("model"), checkpoint.shapes("optimizer")

    return read


def read_answers(data: bytes, folder: Path) -> None:
    """A file of answers whose digest stands in scores.json, whatever it holds."""
    from emomtl.run import Run
    from emomtl.run.predictions import predictions_path, recorded_predictions

    place = put(folder, "nothing", b"", small_run())
    digest = hashlib.sha256(data).hexdigest()
    scores = json.loads((place / "scores.json").read_text())
    del scores["sha256"]
    for entry in scores["evaluations"]:
        entry["answers"] = digest
    (place / "scores.json").write_text(json.dumps(scores))
    run = Run.open(place)
    predictions_path(run, "test", "step-00000001", digest).write_bytes(data)
    recorded_predictions(run, "test", "step-00000001", "demo")


def read_checkpoint(name: str) -> Callable[[bytes, Path], None]:
    """Reads a checkpoint one of whose files is as given, and listed with the hash that it has."""

    def read(data: bytes, folder: Path) -> None:
        from emomtl.run.checkpoint import LIST, _list_text, open_checkpoint
        from emomtl.train.state import State

        path = put(folder, name, data, small_run()) / "checkpoints" / "step-00000001"
        files = {file.name: file.read_bytes() for file in path.iterdir() if file.name != LIST}
        (path / LIST).write_bytes(
            _list_text(
                {
                    file: (hashlib.sha256(held).hexdigest(), len(held))
                    for file, held in files.items()
                }
            )
        )
        found = open_checkpoint(path)
        for part in ("model", "optimizer", "weighting"):
            found.shapes(part)
            found.tensors(part)
        _ = found.labels
        # what `Session.restore` says in one message
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            State.from_json(found.state["run"])

    return read


# -- the token cache
# ----------------------------------------------------------------------------------------------------------


@lru_cache
def entry() -> dict[str, bytes]:
    import tempfile

    import numpy as np

    from emomtl.data.cache.store import _write

    with tempfile.TemporaryDirectory() as folder:
        arrays = {
            "ids": np.arange(6, dtype=np.int32),
            "starts": np.array([0, 2, 6]),
            "types": np.zeros(6, np.int8),
        }
        about = {
            "corpus": "demo",
            "split": "train",
            "tokenizer": "t",
            "max_tokens": 8,
            "texts": 2,
            "tokens": 6,
            "pad": 0,
            "cut": 0,
        }
        _write(Path(folder, "a" * 64), arrays, about)
        return {file.name: file.read_bytes() for file in Path(folder, "a" * 64).iterdir()}


def put_entry(place: Path, entry: dict[str, bytes], name: str, data: bytes) -> None:
    """An entry of a cache, one of whose files is as given, with the hashes that this gives."""
    from emomtl.data.cache.store import DESCRIPTION

    place.mkdir(parents=True)
    place.parent.chmod(0o700)
    files = {**entry, name: data}
    try:
        facts = json.loads(files[DESCRIPTION])
        facts.pop("sha256", None)
        facts["key"] = place.name
        if name != DESCRIPTION:
            facts["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        facts["sha256"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        files[DESCRIPTION] = json.dumps(facts).encode()
    except (ValueError, AttributeError, RecursionError, TypeError):
        pass
    for file, content in files.items():
        (place / file).write_bytes(content)


def read_cache(name: str) -> Callable[[bytes, Path], None]:
    """Reads an entry one of whose files is as given, with the hashes that this gives; a damaged one
    is said, and no error.
    """

    def read(data: bytes, folder: Path) -> None:
        from emomtl.data.cache.store import Store, entries
        from emomtl.data.cache.tokens import _parsed

        place = folder / ("a" * 64)
        put_entry(place, entry(), name, data)
        entries(folder)
        said: list[str] = []
        folder.chmod(0o700)
        found = Store(folder, said.append).find(place.name, partial(_parsed, vocabulary_size=1_000))
        assert (found is None) == bool(said)
        if found is not None:
            import numpy as np

            found.batch(np.arange(len(found.starts) - 1))

    return read


@lru_cache
def kept_rows() -> dict[str, bytes]:
    """The files of an entry of the row cache."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "t.csv")
        source.write_bytes(TABLE)
        cache, members, _ = row_cache(Path(folder), source)
        cache.keep(members, cache._read(members, cache._options))
        (made,) = Path(folder, "rows").iterdir()
        return {file.name: file.read_bytes() for file in made.iterdir()}


def row_cache(folder: Path, source: Path) -> tuple[Any, list[Any], list[str]]:
    """A row cache in a folder, the tasks of a source in it, however few its rows are, and what the
    cache says.
    """
    from emomtl import MultiLabel
    from emomtl.data.bound_task import BoundTask, ReadOptions
    from emomtl.data.cache import rows as row_cache
    from emomtl.data.cache.store import Store
    from emomtl.data.locate import locate
    from emomtl.data.tasks import read_tasks

    row_cache.FEWEST = 1
    task = _offer("table")().task()
    members = [
        BoundTask(
            "demo", task, MultiLabel(), located=locate(task.layouts, str(source), folder, "demo")
        )
    ]
    folder.chmod(0o700)
    said: list[str] = []
    found = row_cache.RowCache(
        ReadOptions(recipes={"demo": "r"}, note=lambda line: None), read_tasks
    )
    found._store = Store(folder / "rows", said.append)
    return found, members, said


def read_rows(name: str) -> Callable[[bytes, Path], None]:
    """Reads rows that are kept, one of the files of their entry as given, with the hashes that this
    gives.
    """

    def read(data: bytes, folder: Path) -> None:
        (folder / "t.csv").write_bytes(TABLE)
        cache, members, said = row_cache(folder, folder / "t.csv")
        put_entry(folder / "rows" / str(cache._key(members)), kept_rows(), name, data)
        found = cache.find(members)
        assert (found is None) == bool(said)
        for corpus in found.corpora if found is not None else ():
            for part in corpus.splits.values():
                len(part)

    return read


# -- folders of models
# --------------------------------------------------------------------------------------------------------


@lru_cache
def model() -> dict[str, bytes]:
    import tempfile

    from emomtl.testing import tiny_encoder

    with tempfile.TemporaryDirectory() as folder:
        return {
            file.name: file.read_bytes() for file in tiny_encoder(Path(folder, "tiny")).iterdir()
        }


def read_model(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from emomtl.data.corpus import CorpusSplit
        from emomtl.data.tokens import tokenise
        from emomtl.model.encoder import load_encoder
        from emomtl.model.loaded import EncoderChoice

        for file, content in {**model(), name: data}.items():
            (folder / file).write_bytes(content)
        loaded = load_encoder(EncoderChoice("mine", str(folder), None, "mean", 16), ["[NAME]"])
        import numpy as np

        tokenise(loaded.tokenizer, CorpusSplit(np.arange(2), ["so happy [NAME]", "é‮"]), 16)

    return read


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("manifest", tomls("*.toml"), read_manifest, TOML_WORDS),
        Target(
            "override",
            lambda: [b"train.lr=1e-4", b'tasks."a b".weight=[1, {a = "x"}]', b"a.b.c='x'"],
            read_override,
            TOML_WORDS,
        ),
        Target("study", tomls("study/*.toml"), read_study, TOML_WORDS),
        Target("claims", tomls("claims/*.toml"), read_claims, TOML_WORDS),
        Target(
            "claims-result",
            lambda: [json.dumps(RESULT).encode()],
            read_result("result.json"),
            json=True,
        ),
        Target(
            "claims-analysis",
            lambda: [json.dumps(MEASURED).encode()],
            read_result("space.json"),
            json=True,
        ),
        Target(
            "gains-json",
            lambda: [b'{"sst2": 0.8, "emobank": -0.1}'],
            read_gains(".json"),
            json=True,
        ),
        Target(
            "gains-csv", lambda: [b"auxiliary,gain\nsst2,0.8\nemobank,-0.1\n"], read_gains(".csv")
        ),
        Target(
            "emotion-words", lambda: [b"# words\nhappy\tjoy\t1\nsad\tjoy\t0\nso sad\n"], read_words
        ),
        Target("goemotions", lambda: [GO["train.tsv"]], shipped("goemotions", GO, "train.tsv")),
        Target(
            "goemotions-ekman",
            lambda: [GO["test.tsv"]],
            shipped("goemotions-ekman", GO, "test.tsv", form="single-label"),
        ),
        Target("sst2", lambda: [SST["train.tsv"]], shipped("sst2", SST, "train.tsv")),
        Target("sentiment140", lambda: [TWEETS], shipped("sentiment140", S140, next(iter(S140)))),
        Target(
            "suicide-depression",
            lambda: [SUICIDE],
            shipped("suicide-depression", {"s.csv": SUICIDE}, "s.csv"),
        ),
        Target("emobank", lambda: [BANK], shipped("emobank", {"emobank.csv": BANK}, "emobank.csv")),
        Target("table-csv", lambda: [TABLE], shipped("table", {"t.csv": TABLE}, "t.csv")),
        Target(
            "table-tsv",
            lambda: [TABLE.replace(b",", b"\t")],
            shipped("table", {"t.tsv": TABLE}, "t.tsv"),
        ),
        Target(
            "table-jsonl",
            lambda: [TABLE_JSON],
            shipped("table", {"t.jsonl": TABLE_JSON}, "t.jsonl", empty="unknown"),
        ),
        Target(
            "table-parquet",
            parquets,
            shipped("table", {"t.parquet": b""}, "t.parquet", empty="unknown"),
        ),
        Target("lexicon", lambda: [lexicon()], read_lexicon),
        Target(
            "lexicon-words",
            lambda: [b'{"words":["day","happy","sad","so"],"labels":["joy","sadness"],"about":{}}'],
            lexicon_of,
            json=True,
        ),
        Target("run-about", run_file("run.json"), read_run("run.json"), json=True),
        Target(
            "run-environment", run_file("environment.json"), read_run("environment.json"), json=True
        ),
        Target("run-manifest", run_file("manifest.toml"), read_run("manifest.toml"), TOML_WORDS),
        Target("run-scores", run_file("scores.json"), read_run("scores.json"), json=True),
        Target("run-events", run_file("metrics.jsonl"), read_run("metrics.jsonl")),
        Target("run-answers", run_answers, read_answers),
        Target("checkpoint-list", run_file("sha256.txt"), read_run("sha256.txt")),
        Target(
            "checkpoint-state", run_file("state.json"), read_checkpoint("state.json"), json=True
        ),
        Target(
            "checkpoint-tensors",
            run_file("model.safetensors"),
            read_checkpoint("model.safetensors"),
        ),
        Target(
            "cache-description",
            lambda: [entry()["entry.json"]],
            read_cache("entry.json"),
            json=True,
        ),
        Target("cache-ids", lambda: [entry()["ids.npy"]], read_cache("ids.npy")),
        Target("cache-starts", lambda: [entry()["starts.npy"]], read_cache("starts.npy")),
        Target(
            "rows-description",
            lambda: [kept_rows()["entry.json"]],
            read_rows("entry.json"),
            json=True,
        ),
        Target("rows-index", lambda: [kept_rows()["index-0-0.npy"]], read_rows("index-0-0.npy")),
        Target(
            "rows-targets", lambda: [kept_rows()["targets-0-0.npy"]], read_rows("targets-0-0.npy")
        ),
        Target(
            "model-config",
            lambda: [model()["config.json"]],
            read_model("config.json"),
            json=True,
            slow=True,
        ),
        Target(
            "model-tokenizer-config",
            lambda: [model()["tokenizer_config.json"]],
            read_model("tokenizer_config.json"),
            json=True,
            slow=True,
        ),
        Target(
            "model-tokenizer",
            lambda: [model()["tokenizer.json"]],
            read_model("tokenizer.json"),
            json=True,
            slow=True,
        ),
        Target(
            "model-weights",
            lambda: [model()["model.safetensors"]],
            read_model("model.safetensors"),
            slow=True,
        ),
    )
}


def clear(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
