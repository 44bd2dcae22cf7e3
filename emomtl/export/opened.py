"""An exported ONNX folder, opened with onnxruntime and tokenizers alone, without torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.contracts.taxonomy import Grouping, Taxonomy
from emomtl.data.tokens import CHARACTERS_PER_TOKEN
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.export.record import NAME, read_record
from emomtl.inference.text_model import AnswerHead, TextModel
from emomtl.safety.files import damaged, trouble

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emomtl.plugins.discovery import Plugins

GRAPH, TOKENIZER = "model.onnx", "tokenizer.json"
BATCH = 32


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `emomtl export`."""
    return (folder / NAME).is_file()


class ExportedModel(TextModel):
    """The model of an ONNX export. Files are verified when it is opened."""

    def __init__(self, folder: Path, plugins: Plugins) -> None:
        record = read_record(folder)
        if not (folder / GRAPH).is_file():
            found = (
                f"is an export in the format '{clean(str(record.get('exporter')))}', which emomtl"
                " does not open"
            )
            raise EmomtlError(
                trouble(
                    folder,
                    found,
                    "its README.md says how to use it; formats onnx and onnx-int8 open",
                )
            )
        missing = [
            name for name in ("onnxruntime", "tokenizers") if importlib.util.find_spec(name) is None
        ]
        if missing:
            found = f"opening an ONNX export takes {', '.join(missing)}, not installed here"
            raise EmomtlError(Problem(str(folder), found, '`pip install "emomtl[onnx]"`'))
        self.folder, self.record = folder, record
        try:
            heads = {name: _head(task, plugins) for name, task in record["tasks"].items()}
            self._length, self._pad = int(record["max_tokens"]), record["pad"]
            self._paired = frozenset(
                name for name, task in record["tasks"].items() if task["pairs"]
            )
            tuned = {
                name: tuple(task["thresholds"])
                for name, task in record["tasks"].items()
                if task["thresholds"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder / NAME, f"it lacks or misspells {clean(str(error))}") from error
        super().__init__(heads, tuned)

    @property
    def paired(self) -> frozenset[str]:
        """The tasks that read pairs of texts."""
        return self._paired

    @cached_property
    def _session(self) -> Any:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.log_severity_level = 3  # else onnxruntime prints warnings about the machine
        return InferenceSession(
            str(self.folder / GRAPH), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        tokenizer.enable_truncation(self._length, strategy="longest_first")
        tokenizer.enable_padding(pad_id=self._pad["id"], pad_token=self._pad["token"] or "")
        return tokenizer

    def logits(
        self, texts: Sequence[str], pairs: Sequence[str] | None, tasks: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """The logits (n, L) of each task; texts of like length share a batch."""
        import numpy as np

        # as in training: a text of megabytes is cut first
        most = self._length * CHARACTERS_PER_TOKEN
        first = [text[:most] for text in texts]
        given: list[Any] = (
            first
            if pairs is None
            else list(zip(first, (pair[:most] for pair in pairs), strict=True))
        )
        order = sorted(range(len(first)), key=lambda place: len(first[place]))
        wanted = {one.name for one in self._session.get_inputs()}
        found = {task: np.zeros((len(first), len(self.labels(task))), np.float32) for task in tasks}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            encoded = self._tokenizer.encode_batch([given[place] for place in places])
            inputs = {
                "input_ids": np.asarray([one.ids for one in encoded], np.int64),
                "attention_mask": np.asarray([one.attention_mask for one in encoded], np.int64),
                "token_type_ids": np.asarray([one.type_ids for one in encoded], np.int64),
            }
            values = self._session.run(list(tasks), {name: inputs[name] for name in wanted})
            for task, logits in zip(tasks, values, strict=True):
                found[task][places] = logits
        return found


def _head(task: Mapping[str, Any], plugins: Plugins) -> AnswerHead:
    """The head as the run had it, and the labels that it answers with."""
    head = plugins.offer("head", task["head"]["kind"]).value(**task["head"]["options"])
    if head.answers != "labels":
        return AnswerHead(head, None, tuple(task["labels"]), bool(task["sensitive"]))
    groupings = []
    for name, groups in task["groupings"].items():
        groupings.append(
            Grouping(name, {parent: tuple(members) for parent, members in groups.items()})
        )
    taxonomy = Taxonomy(task["labels"], groupings)
    return AnswerHead(head, taxonomy, tuple(task["labels"]), bool(task["sensitive"]))
