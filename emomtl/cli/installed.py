"""`emomtl tasks`, `plugins`, `encoders` and `new-plugin`: what is installed, and a start for one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emomtl.contracts.task import Task
    from emomtl.plugins.offers import Offer

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def tasks(
    name: Annotated[
        str | None, typer.Argument(help="One task: its card and the summary of its rows.", show_default=False)
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Read the rows here and not where the plugin says.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of a task family.")] = None,
    json: Json = False,
) -> None:
    """The installed tasks; with a name, its card and, where its rows are at hand, splits, labels, parents, labels per example."""
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.contracts.task import DerivedTask
    from emomtl.plugins.discovery import Plugins

    plugins = Plugins.discover()
    if name is not None:
        _one_task(plugins.offer("task", name), source, set_ or [], json)
        return
    rows: list[list[Any]] = []
    for offer in plugins.offers("task").values():
        if isinstance(offer.value, type) and issubclass(offer.value, DerivedTask):
            rows.append([offer.name, "", "", "the rows of the task that `of` names", offer.plugin.label])
            continue
        task = _task(offer, {})
        labels = len(task.head.outputs(task.taxonomy))
        rows.append(
            [offer.name, task.head.kind, labels or "from the rows", ", ".join(map(str, task.layouts[:2])), offer.plugin.label]
        )
    if json:
        print_json([dict(zip(("task", "head", "labels", "sources", "plugin"), row, strict=True)) for row in rows])
        return
    console().print(make_table("installed tasks", ["task", "head", "labels", "sources", "plugin"], rows))
    for note in (*(f"{plugin} does not import: {reason}" for plugin, reason in plugins.broken.items()), *plugins.notes):
        say(f"note: {note}")


def _task(offer: Offer, options: dict[str, Any]) -> Task:
    from emomtl.contracts.task import DerivedTask, Task
    from emomtl.errors import EmomtlError, Problem
    from emomtl.manifest import read_options

    if isinstance(offer.value, Task):
        return offer.value
    if issubclass(offer.value, DerivedTask):
        found = f"'{offer.name}' is made of another task's rows"
        raise EmomtlError(Problem("tasks", found, f'in a manifest: use = "{offer.name}", options = {{ of = "TASK" }}'))
    family, problems = read_options(offer.value, options, "options")
    if family is None:
        raise EmomtlError(*problems)
    return family.task()  # type: ignore[no-any-return]


def _one_task(offer: Offer, source: str | None, overrides: list[str], json: bool) -> None:
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.data.summary import summarise
    from emomtl.errors import EmomtlError
    from emomtl.manifest import apply_overrides

    options, problems = apply_overrides({}, overrides)
    if problems:
        raise EmomtlError(*problems)
    task = _task(offer, options)
    try:
        summary = summarise(task, source, Path.cwd())
    except EmomtlError as error:
        if source is not None:
            raise
        summary = None
        reason = str(error)
    if json:
        print_json({"task": task.name, "head": task.head.kind, "card": task.card, "sensitive": task.sensitive, "rows": summary})
        return
    screen = console()
    screen.print(f"{task.name} ({task.head.kind}{', sensitive' if task.sensitive else ''}), from {offer.plugin.label}\n")
    screen.print(task.card.strip() + "\n" if task.card else "")
    if summary is None:
        say(f"its rows are not at hand ({reason}); name a local copy with --source")
        return
    for table in summary["tables"]:
        screen.print(make_table(table["title"], table["columns"], table["rows"]))
    for note in summary["notes"]:
        say(f"note: {note}")


def plugins(json: Json = False) -> None:
    """Every installed plugin: what it offers, its distribution, and why it does not import where it does not."""
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.plugins.discovery import Plugins
    from emomtl.plugins.offers import KINDS

    found = Plugins.discover()
    offered: dict[str, list[str]] = {}
    for kind in KINDS:
        for offer in found.offers(kind).values():
            offered.setdefault(offer.plugin.label, []).append(f"{kind} {offer.name}")
    rows = []
    for module, release, label in sorted({(entry.module, entry.release, entry.label) for entry in found.entries}):
        rows.append([module, release, ", ".join(offered.get(label, [])), found.broken.get(label, "imports")])
    if json:
        print_json([dict(zip(("module", "distribution", "offers", "state"), row, strict=True)) for row in rows])
        return
    for note in found.notes:
        say(f"note: {note}")
    console().print(
        make_table("installed plugins (each is code that you installed)", ["module", "distribution", "offers", "state"], rows)
    )


def encoders(
    name: Annotated[str | None, typer.Argument(help="One encoder: where it is.", show_default=False)] = None, json: Json = False
) -> None:
    """The short names of encoders; any hub id or folder works as well. With a name, its files are verified."""
    from emomtl.cli.output import console, make_table, print_json
    from emomtl.plugins.discovery import Plugins
    from emomtl.safety.escaping import printable

    found = Plugins.discover()
    if name is not None:
        where = found.offer("encoder", name).value.locate()
        print_json({"encoder": name, "where": where}) if json else typer.echo(printable(f"{name}: {where}"))
        return
    rows = [
        [
            offer.name,
            f"Python package {offer.value.package}" if offer.value.package else offer.value.hub,
            offer.value.pooling,
            offer.value.about,
        ]
        for offer in found.offers("encoder").values()
    ]
    if json:
        print_json([dict(zip(("encoder", "where", "pooling", "about"), row, strict=True)) for row in rows])
        return
    console().print(make_table("installed encoders", ["encoder", "where", "pooling", "about"], rows))


def new_plugin(
    name: Annotated[str, typer.Argument(help="The task's name; the distribution is emomtl-NAME.", show_default=False)],
    folder: Annotated[Path, typer.Option("--in", help="The folder in which it is made.")] = Path("."),
) -> None:
    """Write a complete plugin distribution, with sample rows and tests that pass, to fill in."""
    from emomtl.cli.output import say
    from emomtl.testing.skeleton import write_skeleton

    made = write_skeleton(name, folder)
    say(f"wrote {made}; next: pip install -e {made}, then pytest {made}")
