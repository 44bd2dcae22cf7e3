"""The encoder that a manifest names, found: where it lies, and how texts are read by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.compose.composer import Composer
from emomtl.compose.plan import Start
from emomtl.contracts.encoder import EncoderSource, Truncation
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest import EncoderTable, Manifest, TaskTable
from emomtl.model.layers import LastLayers
from emomtl.model.loaded import EncoderChoice

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


def pretrained_choice(manifest: Manifest, plugins: Plugins, folder: Path) -> EncoderChoice:
    """The pretrained encoder of a run, found and verified again. EmomtlError where it is gone."""
    composer = Composer(plugins, folder, None)
    choice = choose_encoder(composer, manifest, manifest.tasks, training=True, start=None)
    if choice is None:
        raise EmomtlError(*composer.problems)
    return choice


def choose_encoder(
    composer: Composer,
    manifest: Manifest,
    tables: Mapping[str, TaskTable],
    training: bool,
    start: Start | None,
) -> EncoderChoice | None:
    """The encoder, or None where it is not found; `tables` are the tasks that read texts.

    Without `training` it is not looked for. With `start` it is that of the run.
    """
    table = manifest.encoder
    choice = EncoderChoice(
        table.use,
        table.use,
        table.revision,
        table.pooling or "mean",
        table.max_tokens,
        table.dropout,
        _truncation(composer, table),
        LastLayers(table.layers, table.layers_by),
        task_tokens=_task_tokens(manifest, tables),
    )
    if not training:
        return choice
    try:
        source, where = _located(composer, table.use, start)
    except EmomtlError as error:
        composer.add(*error.problems, place="encoder.use")
        return None
    pooling = table.pooling or source.pooling
    if pooling == "pooler" and table.layers > 1:
        remedy = "layers = 1, or another `pooling`"
        composer.add(Problem("encoder.layers", "the pooler reads the last layer only", remedy))
    revision = table.revision or source.revision
    return replace(choice, where=where, revision=revision, pooling=pooling)


def _located(composer: Composer, name: str, start: Start | None) -> tuple[EncoderSource, str]:
    """The encoder that a short name, a hub id or a folder means, and where it lies.

    EmomtlError where there is none.
    """
    folder = composer.folder / Path(name).expanduser()
    is_path = "/" in name or name.startswith(".") or folder.is_dir()
    source = EncoderSource(hub=name)
    if not is_path:
        source = composer.plugins.offer("encoder", name).value
    if start is not None:
        return source, str(start.folder / "encoder")
    if not is_path:
        return source, source.locate()
    if folder.is_dir():
        return source, str(folder.resolve())
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return source, name
    found = f"there is no folder {clean(str(folder))}"
    raise EmomtlError(found, remedy="a short name, a hub id or a folder")


def _task_tokens(
    manifest: Manifest, tables: Mapping[str, TaskTable]
) -> tuple[tuple[str, int], ...]:
    """The tasks whose texts are read at a length of their own."""
    lengths = []
    for name, table in tables.items():
        if table.max_tokens not in (None, manifest.encoder.max_tokens):
            lengths.append((name, table.max_tokens))
    return tuple(lengths)


def _truncation(composer: Composer, table: EncoderTable) -> Truncation:
    """What is kept of a text that is too long.

    Of head and tail a quarter is head where nothing else is said, as in Sun et al. (2019).
    """
    if table.truncate != "head+tail":
        return Truncation(table.truncate)
    head = table.max_tokens // 4 if table.head_tokens is None else table.head_tokens
    most = table.max_tokens - 3  # two special tokens, and one of the tail
    if head > most:
        found = f"{head} of {table.max_tokens} tokens, two of which are special ones, leave no tail"
        remedy = f"at most {most}, or more max_tokens"
        composer.add(Problem("encoder.head_tokens", found, remedy))
    return Truncation(table.truncate, head)
