"""`emomtl claims`: published claims, judged by the results of studies and analyses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from emomtl.cli.options import Html, Json, Markdown


def claims(
    claims: Annotated[str, Argument(help="A TOML file of claims, or a shipped one's name.")],
    folders: Annotated[list[Path], Argument(help="Folders of studies and of analyses.")],
    markdown: Markdown = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Judge each claim of a file, with the numbers behind the verdict.

    A claim is supported, contradicted, equivalent, inconclusive or untested.
    """
    from emomtl.cli.output import console, print_json, say
    from emomtl.cli.shipped import file_of
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.formats.markdown import markdown as as_markdown
    from emomtl.report.html_page import Section, page
    from emomtl.report.json_output import table_as_json
    from emomtl.report.terminal import show
    from emomtl.safety.files import write_bytes
    from emomtl.study.claims import claims_summary, claims_tables, judge, read_claims
    from emomtl.version import __version__

    path, _ = file_of(claims, Plugins.discover(), "claims")
    content = read_claims(path)
    judged = judge(content, folders)
    tables = claims_tables(content.title, judged)
    if markdown is not None:
        write_bytes(markdown, as_markdown(tables).encode())
        say(f"wrote {markdown}")
    if html is not None:
        sections = [Section("Claims", tables[:1]), Section("Numbers", tables[1:])]
        title = f"emomtl: {content.title}"
        text = page(title, claims_summary(judged), sections, [], __version__)
        write_bytes(html, text.encode())
        say(f"wrote {html}")
    if json:
        print_json({"tables": [table_as_json(table) for table in tables]})
    else:
        show(tables, console())
