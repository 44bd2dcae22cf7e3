"""`emomtl report STUDY_FOLDER`, and what a study leaves in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emomtl.cli.report_files import Outputs, write_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emomtl.contracts.analysis import Table
    from emomtl.study import StudyReport


def the_study(folders: Sequence[Path], card: Path | None) -> Path | None:
    """The study's folder among what a report is asked on; None of runs. One study at a time, and no
    model card of it.
    """
    from emomtl.errors import EmomtlError, Problem, clean
    from emomtl.run import is_run
    from emomtl.study import is_study

    studies = [folder for folder in folders if is_study(folder)]
    if strangers := [folder for folder in folders if not is_run(folder) and not is_study(folder)]:
        found = "is neither a run's folder (no run.json) nor a study's (no study.json)"
        remedy = "name a folder that `emomtl train` or `emomtl study` made"
        raise EmomtlError(
            *(Problem(clean(str(folder), 300), found, remedy) for folder in strangers)
        )
    if studies and (len(folders) > 1 or card is not None):
        found = "a study is reported on by itself" if card is None else "a model card is of one run"
        raise EmomtlError(
            Problem(clean(str(studies[0]), 300), found, "name it alone, or name runs only")
        )
    return studies[0] if studies else None


def report_study(folder: Path, outputs: Outputs, trust: bool) -> None:
    """Gather a study from its folder, as far as its runs have come, and write or print what was
    asked for.
    """
    from emomtl.cli.output import console, print_json, say
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.terminal import show
    from emomtl.safety.files import write_bytes
    from emomtl.study import (
        gather,
        reopen_study,
        study_page,
        study_pictures,
        study_report,
        study_tables,
    )
    from emomtl.version import __version__

    plan = reopen_study(folder, Plugins.discover(trust))
    result = gather(plan)
    report = study_report(plan, result)
    tables = study_tables(report)
    write_outputs(
        outputs, tables, study_pictures(report.drawn) if outputs.figures is not None else []
    )
    if outputs.html is not None:
        write_bytes(outputs.html, study_page(report, __version__).encode())
        say(f"wrote {outputs.html}")
    if outputs.json:
        print_json(result.as_json())
    else:
        show(tables[:1], console())


def leave(report: StudyReport, tables: Sequence[Table]) -> None:
    """The tables in every form, and the page, in the study's folder: all of them or none."""
    from emomtl.report.formats import table_formats
    from emomtl.safety.files import as_json_bytes, write_together
    from emomtl.study import study_page
    from emomtl.version import __version__

    folder = report.plan.folder
    contents = {
        folder / f"table.{one.ending}": one.write(tables, {}).encode() for one in table_formats()
    }
    contents[folder / "page.html"] = study_page(report, __version__).encode()
    contents[folder / "result.json"] = as_json_bytes(report.result.as_json())
    write_together(contents)
