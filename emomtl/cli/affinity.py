"""`emomtl affinity`: which tasks help each other, measured before they are trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.metrics.intervals import MeanInterval


def affinity(
    manifest: Annotated[
        Path,
        typer.Argument(help="The manifest (a file, or a shipped one's name), with target and candidates.", show_default=False),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="TASK", help="The task to be helped; left out, `train.target`, or the task of `eval.select`."
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps that are trained, in memory.")] = 200,
    every: Annotated[int, typer.Option("--every", min=1, help="Steps between two measurements.")] = 10,
    rate: Annotated[float, typer.Option("--rate", help="Length of the look-ahead step, the same for every task.")] = 1e-4,
    figure: Annotated[Path | None, typer.Option("--figure", help="Draw the matrices into this PNG, SVG or PDF file.")] = None,
    gains: Annotated[
        Path | None,
        typer.Option("--gains", help="Measured gains, CSV (auxiliary,gain) or JSON: the rank correlation is added."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every matrix as JSON.")] = False,
) -> None:
    """Train a short run in memory, measure how each task's gradient bears on the others, and rank auxiliaries for a target."""
    from emomtl.analyses.affinity import affinity as measure
    from emomtl.analyses.affinity import as_json, correlate, draw, ranking, read_gains
    from emomtl.analyses.affinity.picture import check_picture
    from emomtl.cli.output import print_json, say
    from emomtl.cli.shipped import compose_given
    from emomtl.errors import EmomtlError, Problem
    from emomtl.plugins.discovery import Plugins

    if rate <= 0:
        raise EmomtlError(Problem("--rate", f"{rate:g} is no step", "a number above 0"))
    plan = compose_given(manifest, set_ or [], Plugins.discover())
    wanted = _target(plan, target)
    if figure is not None:
        check_picture(figure)
    measured_gains = read_gains(gains) if gains is not None else None
    found = measure(plan, steps, every, rate, lambda step: say(f"measured after step {step} of {steps}"))
    answer = {"manifest": plan.manifest.name, **as_json(found, wanted)}
    auxiliaries = ranking(found, wanted)
    if measured_gains is not None:
        answer["gains"] = correlate(auxiliaries, measured_gains, plan.manifest.seed)
    if figure is not None:
        draw(found, wanted, figure)
        say(f"wrote {figure}")
    if json:
        print_json(answer)
        return
    _print(answer, auxiliaries, wanted)


def _target(plan: Plan, wanted: str | None) -> str:
    """The target that is asked for, or else the manifest's."""
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.metrics.selection import selecting_task

    if wanted is None:
        asked = plan.manifest.train.target or selecting_task(plan.manifest.eval.select)
        if asked is not None:
            return asked
        found = "the manifest names no task that is to be helped: the best checkpoint is chosen by the mean over tasks"
        raise EmomtlError(Problem("--target", found, f"one of {', '.join(plan.tasks)}"))
    if wanted not in plan.tasks:
        raise EmomtlError(Problem("--target", f"'{wanted}' is no task of this manifest", suggest(wanted, plan.tasks)))
    return wanted


def _print(answer: dict[str, Any], auxiliaries: list[Any], target: str) -> None:
    """The ranking on stdout; on stderr how it is to be read."""
    from emomtl.cli.output import console, make_table, say

    columns = ["auxiliary", "Z", "95%", "a step on it", "cosine", "95%", "magnitude similarity"]
    words = {1: "helps", -1: "hurts", 0: "may do either"}
    rows = [
        [
            one.task,
            *_said(one.lookahead, "+.2e"),
            words[one.lookahead.sign],
            *_said(one.cosine, "+.3f"),
            _said(one.magnitude, ".3f")[0],
        ]
        for one in auxiliaries
    ]
    steps = answer["steps"]
    title = f"{answer['manifest']}: auxiliaries for {target}, {len(steps)} measurement(s) up to step {steps[-1]}"
    console().print(make_table(title, columns, rows))
    length = f"{answer['rate']:g}"
    say(f"Z: what part of {target}'s loss one step of length {length} on the auxiliary takes away, over the shared parameters")
    say("the interval is that of one run's steps, which are near each other, and of one seed; a measured gain is another thing")
    if "gains" in answer:
        found = answer["gains"]
        for name in ("lookahead", "cosine"):
            rho, p = found[name]["rho"], found[name]["p"]
            shown = "undefined" if rho is None else f"Spearman's rho {rho:+.3f}, p = {p:.3g} (n = {found['n']})"
            console().print(f"{name} and measured gains: {shown}")
        if found["warning"]:
            say(f"warning: {found['warning']}")


def _said(one: MeanInterval, form: str) -> list[str]:
    """A mean and its interval, as text."""
    interval = "" if one.low is None or one.high is None else f"{one.low:{form}} to {one.high:{form}}"
    return ["undefined" if one.mean is None else f"{one.mean:{form}}", interval]
