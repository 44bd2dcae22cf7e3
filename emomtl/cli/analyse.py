"""`emomtl analyse NAME`: one command for each analysis that plugins offer, from its options."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
import typer.main

from emomtl.cli.options import Device, Sources, Trust, set_parameters
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.contracts.analysis import Result

Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Run directories; the others are compared with the first.", show_default=False
    ),
]
Manifest = Annotated[
    Path,
    typer.Argument(help="The manifest: a TOML file, or a shipped one's name.", show_default=False),
]
AllowChanged = Annotated[
    str | None,
    typer.Option(
        "--allow-changed", metavar="data", help="Read rows that are not those of the training run."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write JSON, Markdown, CSV and pictures into this folder."),
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write one self-contained page to this file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]

ABOUT_RUNS: dict[str, tuple[Any, Any]] = {
    "source": (Sources, None),
    "allow_changed": (AllowChanged, None),
    "device": (Device, "auto"),
    "trust_plugins": (Trust, False),
}
ABOUT_MANIFEST: dict[str, tuple[Any, Any]] = {"set_": (Overrides, None)}
OUTPUTS: dict[str, tuple[Any, Any]] = {
    "out": (Out, None),
    "html": (Html, None),
    "json": (AsJson, False),
}
"""Options of every analysis, with their types and defaults: beside those are the analysis's own."""


class AnalysesGroup(typer.core.TyperGroup):
    """The installed analyses; plugins are imported when a name or the list is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all analyses."""
        from emomtl.plugins.discovery import Plugins

        return list(Plugins.discover().offers("analysis"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one analysis; EmomtlError for a name that nobody offers."""
        from emomtl.plugins.discovery import Plugins

        return command_of(cmd_name, Plugins.discover().offer("analysis", cmd_name).value)


def command_of(name: str, cls: Any) -> Any:
    """The command of an analysis: an option for each field of its dataclass."""
    from emomtl.contracts.analysis import Analysis

    of_runs = issubclass(cls, Analysis)
    subject = ("runs", Runs) if of_runs else ("manifest", Manifest)
    options = {field.name: _option(cls, field) for field in dataclasses.fields(cls)}
    options |= {**(ABOUT_RUNS if of_runs else ABOUT_MANIFEST), **OUTPUTS}
    parameters = [
        inspect.Parameter(subject[0], inspect.Parameter.KEYWORD_ONLY, annotation=subject[1])
    ]
    for option, (kind, default) in options.items():
        parameters.append(
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
            )
        )

    def body(**values: Any) -> None:
        analysis = _analysis(cls, values)
        _check_page(values["html"])
        result = _of_runs(analysis, values) if of_runs else _of_manifest(analysis, values)
        _output(result, name, values["out"], values["html"], values["json"])

    summary = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    body.__doc__ = summary.replace("\n", " ")
    set_parameters(body, parameters)
    made = typer.Typer(rich_markup_mode=None, add_completion=False)
    made.command(name)(body)
    return typer.main.get_command(made)


def _option(cls: type, field: dataclasses.Field[Any]) -> tuple[Any, Any]:
    """Type and default of a field as typer takes them; tuples are options that may be repeated."""
    hint = typing.get_type_hints(cls, include_extras=True)[field.name]
    ranges: dict[str, Any] = {}
    for part in (hint, *typing.get_args(hint)):
        for constraint in getattr(part, "__metadata__", ()):
            bounds = {
                "min": getattr(constraint, "ge", None),
                "max": getattr(constraint, "le", None),
            }
            ranges |= {name: bound for name, bound in bounds.items() if bound is not None}
    kind = typing.get_type_hints(cls)[field.name]
    default = field.default
    if typing.get_origin(kind) is tuple:
        kind, default = list[typing.get_args(kind)[0]] | None, None  # type: ignore[misc]
    flag = f"--{field.name.replace('_', '-')}"
    if kind is bool and default is True:
        flag = f"{flag}/--no-{flag[2:]}"
    about: Any = {
        "metavar": field.metadata.get("metavar"),
        "help": field.metadata.get("description"),
        **ranges,
    }
    return Annotated[kind, typer.Option(flag, **about)], default


def _analysis(cls: type, values: dict[str, Any]) -> Any:
    """The analysis with the options that were given."""
    from emomtl.analyses.runs import check_split

    options = {field.name: values[field.name] for field in dataclasses.fields(cls)}
    kinds = typing.get_type_hints(cls)
    for name in options:
        if typing.get_origin(kinds[name]) is tuple:
            options[name] = tuple(options[name] or ())
    if "split" in options:
        check_split(options["split"])
    return cls(**options)


def _check_page(html: Path | None) -> None:
    """Refuse a page in a folder that does not exist before anything is computed."""
    if html is not None and not html.parent.is_dir():
        found = f"the folder {html.parent} does not exist"
        raise EmomtlError(Problem("--html", found, "make it, or name another"))


def _of_runs(analysis: Any, values: dict[str, Any]) -> Result:
    from emomtl.analyses.runs import RunFolders
    from emomtl.cli.output import say, sources_of

    changed = values["allow_changed"]
    if changed not in (None, "data"):
        raise EmomtlError(Problem("--allow-changed", f"'{changed}' is not known here", "data"))
    runs = RunFolders(
        values["runs"],
        sources_of(values["source"] or []),
        changed == "data",
        values["device"],
        values["trust_plugins"],
        say,
    )
    runs.check_sources()
    result: Result = analysis.run(runs)
    return result


def _of_manifest(analysis: Any, values: dict[str, Any]) -> Result:
    from emomtl.cli.output import say
    from emomtl.cli.shipped import compose_given
    from emomtl.plugins.discovery import Plugins

    plan = compose_given(values["manifest"], values["set_"] or [], Plugins.discover())
    result: Result = analysis.run(plan, say)
    return result


def _output(result: Result, name: str, out: Path | None, html: Path | None, json: bool) -> None:
    """Print and write a result; EmomtlError at the end where one of its findings is an error."""
    from emomtl.cli.output import console, print_json, say
    from emomtl.report.analysis_output import result_as_json, result_page, tables_of, write_result
    from emomtl.report.terminal import show
    from emomtl.safety.files import write_bytes

    for note in result.notes:
        say(f"note: {note}")
    for path in write_result(result, name, out) if out is not None else ():
        say(f"wrote {path}")
    if html is not None:
        write_bytes(html, result_page(result).encode())
        say(f"wrote {html}")
    if json:
        print_json(result_as_json(result))
    else:
        show(tables_of(result), console())
    if result.pages and out is None:
        found = f"there is no folder for {', '.join(result.pages)}"
        raise EmomtlError(Problem("--out", found, "name one"))
    errors = [finding for finding in result.findings if finding.severity == "error"]
    if errors:
        raise EmomtlError(*(Problem(one.kind, one.text, one.remedy) for one in errors))


OLDER_SPELLINGS = {"affinity": "analyse affinity", "data audit": "analyse audit"}
"""Commands that pass their arguments on to an analysis, with its words."""


def add_older_spellings(app: typer.Typer) -> None:
    """Add `emomtl affinity` and `emomtl data audit`: they pass their arguments on to `analyse`."""
    data = typer.Typer(
        name="data",
        help="What is wrong with the rows of a run.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.add_typer(data)
    for group, name in ((app, "affinity"), (data, "audit")):
        about = f"The same as `emomtl analyse {name}`: its options are listed there."
        settings = {"allow_extra_args": True, "ignore_unknown_options": True}
        group.command(name, help=about, context_settings=settings, add_help_option=False)(
            _passing_on(name)
        )


def _passing_on(name: str) -> Any:
    """A command that runs an analysis with the arguments that it gets."""

    def command(context: typer.Context) -> Any:
        group = AnalysesGroup(name="analyse")
        made = group.get_command(context, name)
        return made.main(list(context.args), prog_name=context.command_path, standalone_mode=False)

    return command
