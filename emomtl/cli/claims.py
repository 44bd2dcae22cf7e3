"""`emomtl claims`: what others say, beside what came out here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def claims(
    claims: Annotated[str, typer.Argument(help="A TOML file of claims, or a shipped one's name.", show_default=False)],
    folders: Annotated[list[Path], typer.Argument(help="Folders of studies and of analyses.", show_default=False)],
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the tables as markdown to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> None:
    """Each claim of a file: supported, contradicted, equivalent, inconclusive or untested, with the numbers behind it."""
    from emomtl.cli.output import console, print_json, say
    from emomtl.cli.shipped import file_of
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.formats.markdown import markdown as written
    from emomtl.report.html_page import Section, page
    from emomtl.report.json_output import table_as_json
    from emomtl.report.terminal import show
    from emomtl.safety.files import write_bytes
    from emomtl.study.claims import claims_summary, claims_tables, judge, read_claims
    from emomtl.version import __version__

    path, _ = file_of(claims, Plugins.discover(), "claims")
    read = read_claims(path)
    judged = judge(read, folders)
    tables = claims_tables(read.title, judged)
    if markdown is not None:
        write_bytes(markdown, written(tables).encode())
        say(f"wrote {markdown}")
    if html is not None:
        sections = [Section("Claims", tables[:1]), Section("Numbers", tables[1:])]
        title = f"emomtl: {read.title}"
        write_bytes(html, page(title, claims_summary(judged), sections, [], __version__).encode())
        say(f"wrote {html}")
    if json:
        print_json({"tables": [table_as_json(table) for table in tables]})
    else:
        show(tables, console())
