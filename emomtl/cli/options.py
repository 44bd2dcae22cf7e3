"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

ManifestArgument = Annotated[
    Path, Argument(help="The manifest: a TOML file, or a shipped one's name.")
]
RunArgument = Annotated[Path, Argument(help="A run directory.")]

Overrides = Annotated[
    list[str] | None, Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")
]
Sources = Annotated[
    list[str] | None, Option(metavar="TASK=PATH", help="Read a task's rows here; may be repeated.")
]
Split = Annotated[Literal["validation", "test", "train"], Option(help="The split of the rows.")]
Tasks = Annotated[list[str] | None, Option(help="Only this task; may be repeated.")]
Checkpoint = Annotated[str, Option(help="`best`, `last`, or a step that was kept.")]
Weights = Annotated[
    Literal["raw", "ema"] | None,
    Option(
        help="Raw weights, or their moving average; left out, those that chose the best checkpoint."
    ),
]
AllowChanged = Annotated[
    Literal["data"] | None, Option(help="Read rows that are not those of the training run.")
]
Device = Annotated[str, Option(help="`auto`, `cpu` or `cuda`.")]
Trust = Annotated[
    bool,
    Option(
        "--trust-plugins",
        envvar="EMOMTL_TRUST_PLUGINS",
        help="Run the plugin files (code) that the run's folder brings along.",
    ),
]

Markdown = Annotated[Path | None, Option(help="Write the tables as markdown to this file.")]
Html = Annotated[Path | None, Option(help="Write one self-contained page to this file.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]


def set_parameters(command: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    """Give a command that is made at run time these parameters.

    Typer reads its options from the signature and from the annotations.
    """
    # inspect looks for this attribute, which no stub declares
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
