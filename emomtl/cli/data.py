"""`emomtl data audit`: what is wrong with the rows of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from emomtl.analyses.audit.findings import Report


def audit(
    manifest: Annotated[Path, typer.Argument(help="The manifest: a TOML file, or a shipped one's name.", show_default=False)],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write everything as one HTML page to this file.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="KIND", help="Findings of this kind are no error; may be repeated.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=100, help="Training rows of a task that label noise is asked of at most.")
    ] = 100_000,
    near: Annotated[bool, typer.Option("--near/--no-near", help="Look for near duplicates.")] = True,
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Look for label noise, which takes longest.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, without the text of any row.")] = False,
) -> None:
    """Look for leaks, near duplicates, conflicting and suspect labels, rare labels and lexical shortcuts in a run's rows."""
    from emomtl.analyses.audit import Wanted, known_kinds, refused
    from emomtl.analyses.audit import audit as look
    from emomtl.cli.output import print_json, say
    from emomtl.cli.shipped import compose_given
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins.discovery import Plugins
    from emomtl.safety.files import write_bytes
    from emomtl.version import __version__

    allowed = known_kinds(allow or [])
    if html is not None and not html.parent.is_dir():
        raise EmomtlError(Problem("--html", f"the folder {html.parent} does not exist", "make it, or name another"))
    plan = compose_given(manifest, set_ or [], Plugins.discover())
    report = look(plan, Wanted(near, noise, sample), lambda what: say(f"{what} ..."))
    for note in report.notes:
        say(f"note: {note}")
    if json:
        print_json(report.as_json())
    else:
        _print(report)
    if html is not None:
        from emomtl.analyses.audit.page import page

        write_bytes(html, page(report, __version__).encode())
        say(f"wrote {html}")
    wrong = refused(report, allowed)
    if wrong:
        remedy = "`[data] drop_leaks = true` leaves such rows out of training; `--allow test-in-train` lets them pass"
        raise EmomtlError(*(Problem(one.kind, one.said, remedy) for one in wrong))


def _print(report: Report) -> None:
    """The short tables, then every finding."""
    from emomtl.cli.output import console, make_table

    screen = console()
    for table in report.tables:
        if table.brief and table.rows:
            screen.print(make_table(table.title, table.columns, table.rows))
    found = [[one.severity, one.kind, one.about, one.said] for one in report.sorted()]
    screen.print(make_table(f"{report.name}: findings", ["severity", "kind", "tasks", "found"], found))
