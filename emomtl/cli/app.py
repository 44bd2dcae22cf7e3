"""The commands, gathered; their bodies import what they need, so that help comes at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
import typer.main

from emomtl.cli import (
    analyse,
    cached,
    claims,
    compare,
    export,
    installed,
    lexicon,
    manifests,
    predict,
    report,
    results,
    slim,
    study,
    training,
)
from emomtl.errors import EmomtlError, Problem
from emomtl.version import __version__

app = typer.Typer(
    name="emomtl",
    help="Multi-task fine-tuning for emotion classification: every corpus is a plugin, every run a TOML manifest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Multi-task fine-tuning for emotion classification: every corpus is a plugin, every run a TOML manifest."""
    if os.environ.get("WORLD_SIZE", "") not in ("", "1") and "RANK" in os.environ and context.invoked_subcommand != "train":
        if os.environ["RANK"] != "0":
            raise typer.Exit(1)
        found = f"`{context.invoked_subcommand}` is the work of one process, and a launcher started several"
        raise EmomtlError(Problem("processes", found, "start it without torchrun: only `train` shares its work"))


for function, name in (
    (manifests.init, "init"),
    (manifests.check, "check"),
    (manifests.schema, "schema"),
    (training.train, "train"),
    (study.study, "study"),
    (claims.claims, "claims"),
    (results.evaluate, "eval"),
    (report.report, "report"),
    (compare.compare, "compare"),
    (predict.predict, "predict"),
    (export.export, "export"),
    (slim.slim, "slim"),
    (installed.tasks, "tasks"),
    (installed.plugins, "plugins"),
    (installed.encoders, "encoders"),
    (installed.new_plugin, "new-plugin"),
    (cached.cache, "cache"),
):
    app.command(name)(function)


GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "lexicon": (
        "Emotion lexica: learn one, show its words, score it without an encoder.",
        {"build": lexicon.build, "show": lexicon.show, "baseline": lexicon.baseline},
    ),
}
"""Commands of two words, such as `emomtl data audit`: the first word, its help, and the second words."""

ANALYSES = "Questions to runs beside their scores, or to a manifest: one command for each analysis that is installed."
app.add_typer(typer.Typer(name="analyse", help=ANALYSES, cls=analyse.AnalysesGroup, no_args_is_help=True, rich_markup_mode=None))
analyse.add_older_spellings(app)

for word, (about, functions) in GROUPS.items():
    group = typer.Typer(name=word, help=about, no_args_is_help=True, rich_markup_mode=None)
    for name, function in functions.items():
        group.command(name)(function)
    app.add_typer(group)


def command() -> Any:
    """The whole command line as one callable."""
    return typer.main.get_command(app)


def commands(root: Any = None, words: str = "") -> dict[str, Any]:
    """Every command that does something by its words, such as `train` or `data audit`."""
    found: dict[str, Any] = {}
    group = root or command()
    for name in group.list_commands(None):
        inner, path = group.get_command(None, name), f"{words} {name}".strip()
        found |= commands(inner, path) if hasattr(inner, "list_commands") else {path: inner}
    return found
