"""`emomtl tasks`, `plugins`, `encoders` and `new-plugin`: what is installed, and how to add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from emomtl.cli.options import Json

if TYPE_CHECKING:
    from emomtl.contracts.task import Task
    from emomtl.plugins.offers import Offer


def _print_rows(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], json: bool
) -> None:
    """Rows as a table, or as JSON objects with the columns as keys."""
    from emomtl.cli.output import console, make_table, print_json

    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        console().print(make_table(title, columns, rows))


def tasks(
    name: Annotated[
        str | None, Argument(help="One task: its card and the summary of its rows.")
    ] = None,
    source: Annotated[
        str | None, Option(help="Read the rows here and not where the plugin says.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Option("--set", metavar="OPTION=VALUE", help="An option of a task family."),
    ] = None,
    json: Json = False,
) -> None:
    """The installed tasks; with a name, its card and a summary of its rows if they are at hand."""
    from emomtl.cli.output import say
    from emomtl.plugins.discovery import Plugins

    plugins = Plugins.discover()
    if name is not None:
        _show_task(plugins.offer("task", name), source, set_ or [], json)
        return
    rows = [_task_row(offer) for offer in plugins.offers("task").values()]
    _print_rows("installed tasks", ["task", "head", "labels", "sources", "plugin"], rows, json)
    if not json:
        for plugin, reason in plugins.broken.items():
            say(f"note: {plugin} does not import: {reason}")
        for note in plugins.notes:
            say(f"note: {note}")


def _task_row(offer: Offer) -> list[Any]:
    from emomtl.contracts.task import DerivedTask

    if isinstance(offer.value, type) and issubclass(offer.value, DerivedTask):
        return [offer.name, "", "", "the rows of the task that `of` names", offer.plugin.label]
    task = _task(offer, {})
    labels = len(task.head.outputs(task.taxonomy)) or "from the rows"
    sources = ", ".join(map(str, task.layouts[:2]))
    return [offer.name, task.head.kind, labels, sources, offer.plugin.label]


def _task(offer: Offer, options: dict[str, Any]) -> Task:
    """The task of an offer; a family makes it from its options."""
    from emomtl.contracts.task import DerivedTask, Task
    from emomtl.errors import EmomtlError, Problem
    from emomtl.manifest import read_options

    if isinstance(offer.value, Task):
        return offer.value
    if issubclass(offer.value, DerivedTask):
        found = f"'{offer.name}' is made of another task's rows"
        remedy = f'in a manifest: use = "{offer.name}", options = {{ of = "TASK" }}'
        raise EmomtlError(Problem("tasks", found, remedy))
    family, problems = read_options(offer.value, options, "options")
    if family is None:
        raise EmomtlError(*problems)
    return family.task()  # type: ignore[no-any-return]


def _show_task(offer: Offer, source: str | None, overrides: list[str], json: bool) -> None:
    """The card of a task, and the summary of its rows."""
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.data.summary import summarise
    from emomtl.errors import EmomtlError
    from emomtl.manifest import apply_overrides

    options, problems = apply_overrides({}, overrides)
    if problems:
        raise EmomtlError(*problems)
    task = _task(offer, options)
    summary, reason = None, ""
    try:
        summary = summarise(task, source, Path.cwd())
    except EmomtlError as error:
        if source is not None:
            raise
        reason = str(error)
    if json:
        facts = {"task": task.name, "head": task.head.kind, "card": task.card}
        print_json({**facts, "sensitive": task.sensitive, "rows": summary})
        return
    screen = console()
    sensitive = ", sensitive" if task.sensitive else ""
    screen.print(f"{task.name} ({task.head.kind}{sensitive}), from {offer.plugin.label}\n")
    if task.card:
        screen.print(task.card.strip() + "\n")
    if summary is None:
        say(f"its rows are not at hand ({reason}); name a local copy with --source")
        return
    for table in summary["tables"]:
        screen.print(make_table(table["title"], table["columns"], table["rows"]))
    for note in summary["notes"]:
        say(f"note: {note}")


def plugins(json: Json = False) -> None:
    """Every installed plugin: what it offers, its distribution, and why it fails to import."""
    from emomtl.cli.output import say
    from emomtl.plugins.discovery import Plugins
    from emomtl.plugins.offers import KINDS

    installed = Plugins.discover()
    offers_by_plugin: dict[str, list[str]] = {}
    for kind in KINDS:
        for offer in installed.offers(kind).values():
            offers_by_plugin.setdefault(offer.plugin.label, []).append(f"{kind} {offer.name}")
    rows: dict[str, list[str]] = {}
    for entry in sorted(installed.entries, key=lambda entry: entry.label):
        offers = ", ".join(offers_by_plugin.get(entry.label, []))
        state = installed.broken.get(entry.label, "imports")
        rows[entry.label] = [entry.module, entry.release, offers, state]
    if not json:
        for note in installed.notes:
            say(f"note: {note}")
    title = "installed plugins (each is code that you installed)"
    columns = ["module", "distribution", "offers", "state"]
    _print_rows(title, columns, list(rows.values()), json)


def encoders(
    name: Annotated[str | None, Argument(help="One encoder: where it is.")] = None,
    json: Json = False,
) -> None:
    """The short names of encoders; with a name, its files are verified.

    Any hub id or folder works as well.
    """
    from emomtl.cli.output import print_json
    from emomtl.plugins.discovery import Plugins
    from emomtl.safety.escaping import printable

    installed = Plugins.discover()
    if name is not None:
        path = installed.offer("encoder", name).value.locate()
        if json:
            print_json({"encoder": name, "where": path})
        else:
            typer.echo(printable(f"{name}: {path}"))
        return
    rows = []
    for offer in installed.offers("encoder").values():
        source = offer.value
        where = f"Python package {source.package}" if source.package else source.hub
        rows.append([offer.name, where, source.pooling, source.about])
    _print_rows("installed encoders", ["encoder", "where", "pooling", "about"], rows, json)


def new_plugin(
    name: Annotated[str, Argument(help="The task's name; the distribution is emomtl-NAME.")],
    folder: Annotated[Path, Option("--in", help="The folder in which it is made.")] = Path("."),
) -> None:
    """Write a complete plugin distribution, with sample rows and tests that pass, to fill in."""
    from emomtl.cli.output import say
    from emomtl.testing.skeleton import write_skeleton

    distribution = write_skeleton(name, folder)
    say(f"wrote {distribution}; next: pip install -e {distribution}, then pytest {distribution}")
