"""Train a manifest, open a run, score it: what the command line does, from Python."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run

if TYPE_CHECKING:
    from emomtl.inference.text_model import TextModel


def load(
    folder: str | Path,
    checkpoint: str = "best",
    device: str = "auto",
    weights: str | None = None,
    trust_plugins: bool = False,
) -> TextModel:
    """Open a run directory, or a folder that `emomtl export` wrote in an ONNX format.

    `checkpoint` is `best`, `last` or a step; `weights` are `raw` or `ema`, left out those that
    chose the best checkpoint. A run that brings plugin files along runs them only with
    `trust_plugins`. An ONNX export takes none of these options, and imports no torch. Raises
    EmomtlError.
    """
    from emomtl.export.opened import ExportedModel, is_export

    path = Path(folder)
    plugins = Plugins.discover(trust_plugins)
    if is_export(path):
        return ExportedModel(path, plugins)
    # torch is imported here and not above: an ONNX export needs none
    from emomtl.api.model import Model
    from emomtl.inference.trained import open_trained

    return Model(open_trained(path, checkpoint, plugins, device, weights), plugins)


def train(
    manifest: str | Path | Mapping[str, Any],
    set: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Run:
    """Train a manifest (a file, a shipped one's name, or a dict of its tables) into a run
    directory.

    `set` overrides keys by their dotted names: `{"train.steps": 100}`. Left out, `out` is
    runs/NAME. `progress` shows a bar, in notebooks too. Raises EmomtlError, and leaves a run that
    `resume=True` continues where training was interrupted.
    """
    from emomtl.cli.progress import make_display
    from emomtl.cli.shipped import compose_given
    from emomtl.compose import compose_file, remaining, stages
    from emomtl.run import check_new
    from emomtl.train import Display, start
    from emomtl.train import resume as resume_run
    from emomtl.train import train as train_session

    plugins = Plugins.discover()
    overrides = [f"{key}={_toml(key, value)}" for key, value in (set or {}).items()]
    with contextlib.ExitStack() as stack:
        if isinstance(manifest, Mapping):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path = folder / "manifest.toml"
            path.write_text(_toml_text(manifest), encoding="utf-8")
            plan = compose_file(path, overrides, plugins, Path.cwd())
        else:
            plan = compose_given(Path(manifest), overrides, plugins)
        todo = stages(plan, Path(out) if out is not None else Path("runs") / plan.manifest.name)
        if resume:
            todo = remaining(todo)
        for number, (_, folder) in enumerate(todo):
            if not (resume and number == 0):
                check_new(folder)
        for number, (stage, folder) in enumerate(todo):
            display = make_display() if progress else Display()
            shown = (
                display
                if isinstance(display, contextlib.AbstractContextManager)
                else contextlib.nullcontext()
            )
            with shown:
                begun = resume and number == 0
                session = (
                    resume_run(stage, folder, display, [])
                    if begun
                    else start(stage, folder, display)
                )
                train_session(session)
    return Run.open(todo[-1][1])


def evaluate(
    folder: str | Path,
    split: str = "validation",
    tasks: Collection[str] = (),
    checkpoint: str = "best",
    sources: Mapping[str, str] | None = None,
    device: str = "auto",
) -> dict[str, dict[str, float | None]]:
    """The metrics of a run on a split, by task and full name; the run keeps them as scores."""
    from emomtl.api.model import Model

    model = load(folder, checkpoint, device)
    if not isinstance(model, Model):
        raise EmomtlError(
            Problem(
                str(folder),
                "is an export, which reads no corpus",
                "evaluate the run that it was made of",
            )
        )
    return model.evaluate(split, tasks, sources)


def _toml(key: str, value: Any) -> str:
    """A value as TOML, for an override."""
    text = _toml_text({"value": value}, key)
    return text.removeprefix("value = ").strip()


def _toml_text(tables: Mapping[str, Any], place: str = "manifest") -> str:
    """Tables as TOML; EmomtlError where a value is none that TOML can say."""
    import tomli_w

    try:
        return tomli_w.dumps(dict(tables))
    except (TypeError, ValueError) as error:
        found = f"is nothing that TOML can say: {error}"
        raise EmomtlError(Problem(place, found, "use strings, numbers, lists and dicts")) from error
