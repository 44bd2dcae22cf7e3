"""`emomtl analyse calibration`: what a run's probabilities and thresholds are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emomtl.cli.results import Trust

if TYPE_CHECKING:
    from emomtl.analyses.calibration.examine import Answered
    from emomtl.inference.opened import OpenedRun


def calibration(
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be repeated.")] = None,
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="`best`, `last`, or a step that was kept.")] = "best",
    out: Annotated[Path | None, typer.Option("--out", help="Write tables and reliability curves into this folder.")] = None,
    trust_plugins: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Thresholds and probabilities: tuned on validation, cross-fitted, and on test where `eval` has scored it."""
    from emomtl.analyses.calibration.examine import examine, tables
    from emomtl.analyses.calibration.pictures import reliability_picture
    from emomtl.cli.output import console, print_json, say
    from emomtl.inference.opened import open_run
    from emomtl.plugins.discovery import Plugins
    from emomtl.report.formats.markdown import markdown
    from emomtl.report.terminal import show
    from emomtl.safety.files import storage, write_bytes, write_json

    opened = open_run(run, checkpoint, Plugins.discover(trust_plugins))
    examined = []
    for name, bound in opened.tasks(task or []).items():
        if bound.head.answers != "labels" or not bound.head.outputs(bound.taxonomy):
            say(f"note: {name} answers with numbers: there is nothing to calibrate")
            continue
        examined.append(examine(name, bound.head, bound.taxonomy, _answers(opened, name, checkpoint, trust_plugins)))
    found = tables(examined)
    if out is not None:
        with storage(out):
            out.mkdir(parents=True, exist_ok=True)
        pictures = {
            f"Reliability of {one.task}": reliability_picture(one, out / f"reliability-{one.task}.png") for one in examined
        }
        write_bytes(out / "calibration.md", markdown(found, {title: path.name for title, path in pictures.items()}).encode())
        write_json(out / "calibration.json", {"tasks": [one.as_json() for one in examined]})
        say(f"wrote {out}/calibration.md, calibration.json and {len(pictures)} picture(s)")
    if json:
        print_json({"run": opened.run.name, "tasks": [one.as_json() for one in examined]})
    else:
        show(found, console())


def _answers(opened: OpenedRun, task: str, which: str, trust: bool) -> dict[str, Answered]:
    """What the checkpoint answered: validation, scored now where it was not kept, and test only where it was."""
    from emomtl.inference.trained import open_trained
    from emomtl.plugins.discovery import Plugins
    from emomtl.run.answers import kept_answers

    run, checkpoint = opened.run, opened.checkpoint.path.name
    if kept_answers(run, "validation", checkpoint, task) is None:
        trained = open_trained(run.folder, which, Plugins.discover(trust))
        trained.evaluate("validation", [task])
    found = {split: kept_answers(run, split, checkpoint, task) for split in ("validation", "test")}
    return {split: answers for split, answers in found.items() if answers is not None}
