"""Labels and probabilities for new texts, at the task's labels and at every coarser grouping of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.data.corpus import CorpusSplit
from emomtl.data.locate import locate
from emomtl.data.source_file import HIDDEN
from emomtl.data.tokens import tokenise
from emomtl.errors import EmomtlError, Problem, suggest
from emomtl.evaluate import logits_of
from emomtl.plain import json_text, no_formula
from emomtl.sources import Files

if TYPE_CHECKING:
    from emomtl.compose import BoundTask
    from emomtl.trained import Trained

CHUNK = 1024
"""Texts that are held in memory at a time."""

Answer = dict[str, dict[str, Any]]
"""For each task: `labels` (best first), `probabilities` by label, and `groupings` with the same two for each coarser one."""


@dataclass(frozen=True)
class Predictor:
    """Answers for texts from one trained model; keeps nothing of them."""

    trained: Trained
    tasks: Mapping[str, BoundTask]

    @classmethod
    def of(cls, trained: Trained, tasks: Collection[str] = ()) -> Predictor:
        """A predictor for all tasks of a run that answer with something, or for those named; an error where there is none."""
        found = trained.tasks(tasks)
        silent = [name for name, bound in found.items() if bound.head.answers == "nothing"]
        if any(name in silent for name in tasks) or len(silent) == len(found):
            said = f"{', '.join(silent)}: a head of the kind '{found[silent[0]].head.kind}' has no answer for a text"
            raise EmomtlError(
                Problem("--task", said, "name a task with labels or numbers; this one can be scored by `emomtl eval`")
            )
        return cls(trained, {name: bound for name, bound in found.items() if name not in silent})

    def __call__(self, texts: Sequence[str]) -> list[Answer]:
        """One answer per text."""
        clean = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
        split = CorpusSplit(np.arange(len(clean)), clean)
        trained = self.trained
        choice = trained.plan.encoder
        tokens = trained.fusion.beside(tokenise(trained.tokenizer, split, choice.max_tokens, choice.truncation), split)
        batch = trained.plan.manifest.eval.batch_size
        logits = logits_of(trained.model, tokens, list(self.tasks), trained.device, trained.precision, batch)
        answers: list[Answer] = [{} for _ in texts]
        for name, bound in self.tasks.items():
            for answer, found in zip(answers, _decoded(bound, logits[name]), strict=True):
                answer[name] = found
        return answers


def _decoded(bound: BoundTask, logits: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """A task's answers, with those on its groupings."""
    head, taxonomy = bound.head, bound.taxonomy
    probabilities = head.probabilities(logits)
    found = _level(bound, probabilities, head.outputs(taxonomy))
    for grouping in taxonomy.groupings if taxonomy is not None else ():
        assert taxonomy is not None
        nothing = np.asarray([head.encode(None, taxonomy)] * len(logits))
        _, coarse = head.fold(nothing, probabilities, grouping, taxonomy)
        for answer, level in zip(found, _level(bound, coarse, grouping.names), strict=True):
            answer.setdefault("groupings", {})[grouping.name] = level
    return found


def _level(bound: BoundTask, probabilities: np.ndarray[Any, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    if bound.head.answers == "numbers":
        return [{"values": dict(zip(names, map(float, row), strict=True))} for row in probabilities]
    decoded = bound.head.decode(probabilities, names)
    return [
        {"labels": [name for name, _ in chosen], "probabilities": dict(zip(names, map(float, row), strict=True))}
        for chosen, row in zip(decoded, probabilities, strict=True)
    ]


def flat(answer: Answer) -> dict[str, str | float]:
    """An answer as columns: `goemotions` holds labels joined by |, `goemotions:joy` is a probability."""
    columns: dict[str, str | float] = {}
    for task, found in answer.items():
        levels = {task: found} | {f"{task}/{name}": level for name, level in found.get("groupings", {}).items()}
        for name, level in levels.items():
            if "labels" in level:
                columns[name] = "|".join(level["labels"])
            columns |= {f"{name}:{label}": value for label, value in level.get("probabilities", level.get("values", {})).items()}
    return columns


def predict_file(
    predictor: Predictor, source: Path, out: Path, column: str, keep: bool, advance: Callable[[int], None] | None = None
) -> int:
    """Answer for every row of a CSV, TSV, JSONL or Parquet file and write another; returns the number of rows.

    With `keep` the input's columns stand first; else nothing of the input is in the output. It is written aside and
    renamed when it is whole.
    """
    if out.suffix.lower() not in WRITERS:
        raise EmomtlError(Problem("--out", f"'{out.name}' has no known ending", f"one of {', '.join(WRITERS)}"))
    if out.is_dir() or not out.parent.is_dir():
        raise EmomtlError(
            Problem("--out", f"{out} is a folder, or its folder does not exist", "name a file in an existing folder")
        )
    sensitive = any(bound.task.sensitive for bound in predictor.tasks.values())
    located = locate([Files("*", sensitive=sensitive)], str(source.resolve()), source.parent, "predict")
    rows = (dict(raw.values) for split in located.splits for raw in located.rows(split))
    aside = out.with_name(f".{out.name}.part")
    try:
        written = WRITERS[out.suffix.lower()](aside, _answered(predictor, rows, source, column, keep, advance))
        aside.replace(out)
    except OSError as error:
        raise EmomtlError(Problem(str(out), f"cannot be written: {error.strerror}", "free space, or another folder")) from error
    finally:
        aside.unlink(missing_ok=True)
    return written


def _answered(
    predictor: Predictor,
    rows: Iterable[dict[str, Any]],
    source: Path,
    column: str,
    keep: bool,
    advance: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    """Rows with their answers, chunk by chunk."""
    stream, number = iter(rows), 0
    while chunk := list(islice(stream, CHUNK)):
        for row in chunk:
            number += 1
            if column not in row:
                hidden = any(bound.task.sensitive for bound in predictor.tasks.values())
                near = HIDDEN if hidden else suggest(column, map(str, row))
                raise EmomtlError(Problem("--text", f"{source.name} has no column '{column}'", near))
            if not isinstance(row[column], str):
                raise EmomtlError(
                    Problem(f"row {number}", f"'{column}' is {type(row[column]).__name__}, not a text", file=str(source))
                )
        for row, answer in zip(chunk, predictor([row[column] for row in chunk]), strict=True):
            found = flat(answer)
            doubled = set(row) & set(found) if keep else set()
            if doubled:
                raise EmomtlError(
                    Problem("--out", f"the input has a column '{min(doubled)}' already", "--no-keep leaves its columns out")
                )
            yield (row | found) if keep else found
        if advance is not None:
            advance(len(chunk))


def _write_delimited(path: Path, rows: Iterator[dict[str, Any]], delimiter: str) -> int:
    number = 0
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            number += 1
            if writer is None:
                writer = csv.DictWriter(file, list(row), delimiter=delimiter)
                writer.writerow({name: no_formula(str(name)) for name in row})
            writer.writerow({name: no_formula(cell) if isinstance(cell, str) else cell for name, cell in row.items()})
    return number


def _write_jsonl(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    number = 0
    with path.open("w", encoding="utf-8", errors="replace") as file:
        for row in rows:
            number += 1
            file.write(json_text(row, allow_nan=True) + "\n")
    return number


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    import pyarrow
    import pyarrow.parquet

    number, writer = 0, None
    while chunk := list(islice(rows, CHUNK)):
        table = pyarrow.Table.from_pylist(chunk, schema=writer.schema if writer else None)
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
        number += len(chunk)
    if writer is None:
        raise EmomtlError("the input has no rows")
    writer.close()
    return number


WRITERS: dict[str, Callable[[Path, Iterator[dict[str, Any]]], int]] = {
    ".csv": lambda path, rows: _write_delimited(path, rows, ","),
    ".tsv": lambda path, rows: _write_delimited(path, rows, "\t"),
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
