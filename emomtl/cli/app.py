"""The command line, made of its commands.

The bodies of commands import what they need, so that `--help` loads no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
import typer.main
from typer import Option

from emomtl.cli import (
    analyse,
    cache,
    check,
    claims,
    compare,
    evaluate,
    export,
    init,
    installed,
    lexicon,
    predict,
    report,
    slim,
    study,
    train,
)
from emomtl.errors import EmomtlError, Problem
from emomtl.version import __version__

ABOUT = (
    "Multi-task fine-tuning for emotion classification: every corpus is a plugin, every run a TOML "
    "manifest."
)
app = typer.Typer(
    name="emomtl",
    help=ABOUT,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(help=ABOUT)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    command = context.invoked_subcommand
    is_launched = "RANK" in os.environ and os.environ.get("WORLD_SIZE", "") not in ("", "1")
    if is_launched and command != "train":
        if os.environ["RANK"] != "0":
            raise typer.Exit(1)
        found = f"`{command}` is the work of one process, and a launcher started several"
        remedy = "start it without torchrun: only `train` shares its work"
        raise EmomtlError(Problem("processes", found, remedy))


for function, name in (
    (init.init, "init"),
    (check.check, "check"),
    (init.schema, "schema"),
    (train.train, "train"),
    (study.study, "study"),
    (claims.claims, "claims"),
    (evaluate.evaluate, "eval"),
    (report.report, "report"),
    (compare.compare, "compare"),
    (predict.predict, "predict"),
    (export.export, "export"),
    (slim.slim, "slim"),
    (installed.tasks, "tasks"),
    (installed.plugins, "plugins"),
    (installed.encoders, "encoders"),
    (installed.new_plugin, "new-plugin"),
    (cache.cache, "cache"),
):
    app.command(name)(function)


GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "lexicon": (
        "Emotion lexica: learn one, show its words, score it without an encoder.",
        {"build": lexicon.build, "show": lexicon.show, "baseline": lexicon.baseline},
    ),
}
"""Commands of two words, such as `emomtl data audit`: first word, its help, second words."""

ANALYSES = (
    "Questions to runs beside their scores, or to a manifest: one command for each analysis that "
    "is installed."
)
app.add_typer(
    typer.Typer(
        name="analyse",
        help=ANALYSES,
        cls=analyse.AnalysesGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
)
analyse.add_older_spellings(app)

for word, (about, functions) in GROUPS.items():
    group = typer.Typer(name=word, help=about, no_args_is_help=True, rich_markup_mode=None)
    for name, function in functions.items():
        group.command(name)(function)
    app.add_typer(group)


def command() -> Any:
    """The whole command line as one click command."""
    return typer.main.get_command(app)


def commands(group: Any = None, prefix: str = "") -> dict[str, Any]:
    """Every command by its words, such as `train` or `lexicon build`, without the groups."""
    by_words: dict[str, Any] = {}
    group = group or command()
    for name in group.list_commands(None):
        inner, words = group.get_command(None, name), f"{prefix} {name}".strip()
        if hasattr(inner, "list_commands"):
            by_words |= commands(inner, words)
        else:
            by_words[words] = inner
    return by_words
