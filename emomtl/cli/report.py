"""`emomtl report`: tables, figures and pages of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emomtl.cli.options import Device, Sources, Trust
from emomtl.cli.report_files import Outputs, with_table_formats, write_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emomtl.contracts.analysis import Picture
    from emomtl.report.collect import RunResult
    from emomtl.report.parts import Part


@with_table_formats
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories, or the folder of one study.", show_default=False),
    ],
    split: Annotated[
        str,
        typer.Option("--split", help="`validation` (scored by train) or `test` (scored by eval)."),
    ] = "validation",
    card: Annotated[
        Path | None,
        typer.Option("--card", help="Write a model card of the (one) run to this file."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one self-contained page to this file.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Write every figure as PNG, SVG and PDF here.")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Add worst errors, embedding spaces and gradients to the page; reads the corpora.",
        ),
    ] = False,
    errors: Annotated[
        int,
        typer.Option("--errors", min=0, help="With --full: worst rows of each task; 0 for none."),
    ] = 20,
    source: Sources = None,
    trust_plugins: Trust = False,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    *,
    files: Mapping[str, Path],
) -> None:
    """Tables and figures of runs, single-task beside multi-task, or of a study's folder."""
    from emomtl.cli.output import console, print_json, say
    from emomtl.cli.study_report import report_study, the_study
    from emomtl.report.collect import collect
    from emomtl.report.json_output import as_json
    from emomtl.report.tables import tables
    from emomtl.report.terminal import show
    from emomtl.safety.files import write_bytes

    outputs = Outputs(files, html, figures, json)
    if (folder := the_study(runs, card)) is not None:
        report_study(folder, outputs, trust_plugins)
        return
    results = collect(runs)
    short = tables(results, split)
    parts = _parts(results, split, outputs)
    if full:
        parts += _full(results, split, outputs, errors, source or [], device, trust_plugins)
    found = [*short, *(table for part in parts for table in part.tables)]
    write_outputs(outputs, found, _pictures(results, parts) if figures is not None else [])
    if card is not None:
        write_bytes(card, _card(runs, trust_plugins).encode())
        say(f"wrote {card}")
    if html is not None:
        write_bytes(html, _page(results, split, parts).encode())
        say(f"wrote {html}")
    if json:
        print_json(as_json(results, found))
    else:
        show(short, console())


def _parts(results: Sequence[RunResult], split: str, outputs: Outputs) -> list[Part]:
    """What the kept answers tell, where more than the terminal's tables is wanted."""
    from emomtl.analyses.answers import answered

    return answered(results, split, every=outputs.figures is not None) if outputs.has_files else []


def _pictures(results: Sequence[RunResult], parts: Sequence[Part]) -> list[Picture]:
    from emomtl.report.figures import pictures

    return [*pictures(results), *(one for part in parts for one in part.pictures)]


def _card(runs: Sequence[Path], trust: bool) -> str:
    """The model card of a run."""
    from emomtl.analyses.card import model_card
    from emomtl.errors import EmomtlError, Problem
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins

    if len(runs) != 1:
        raise EmomtlError(Problem("--card", f"{len(runs)} runs are given", "a card is of one run"))
    opened = open_run(runs[0], "best", Plugins.discover(trust))
    return model_card(opened.run, opened.plan)


def _full(
    results: Sequence[RunResult],
    split: str,
    outputs: Outputs,
    errors: int,
    source: Sequence[str],
    device: str,
    trust: bool,
) -> list[Part]:
    """The parts of `--full`, which need the models and the corpora."""
    from emomtl.analyses.full_report import analysis_parts
    from emomtl.analyses.runs import RunFolders, check_split
    from emomtl.cli.output import say, sources_of
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins.discovery import Plugins

    if not outputs.has_files:
        raise EmomtlError(Problem("--full", "there is nothing to put it on", "--html FILE"))
    check_split(split)
    folders = [result.folder for result in results]
    runs = RunFolders(folders, sources_of(source), False, device, trust, say)
    return analysis_parts(runs, Plugins.discover(), {"split": split, "most": errors})


def _page(results: Sequence[RunResult], split: str, parts: Sequence[Part]) -> str:
    """The page of a report, with what the kept answers tell, and models and corpora where they were
    asked.
    """
    from emomtl.report.html_page import page, sections_of, summary_of, warnings_of
    from emomtl.version import __version__

    sections = sections_of(results, split, parts)
    name = results[0].name if len(results) == 1 else f"{len(results)} runs"
    return page(
        f"emomtl: {name}", summary_of(results, split), sections, warnings_of(sections), __version__
    )
