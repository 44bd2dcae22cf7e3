"""`emomtl train`: a manifest to a run directory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.model.parallel.ranks import Ranks
    from emomtl.train import Outcome


def train(
    manifest: Annotated[Path, typer.Argument(help="The manifest: a TOML file, or a shipped one's name.", show_default=False)],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run directory; left out, runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    allow_changed: Annotated[
        list[str] | None,
        typer.Option("--allow-changed", metavar="KEY", help="With --resume: let this key differ; may be repeated."),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Time every phase, and write profile.json into the run.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the best checkpoint's validation scores as JSON.")] = False,
) -> None:
    """Train what a manifest says, into a run directory with checkpoints, scores and logs; `[pretrain]` is a run before it.

    Started by torchrun or `accelerate launch`, several processes train one run together (docs/performance.md).
    """
    from emomtl.cli.output import print_json, say, scores_json
    from emomtl.cli.shipped import compose_given
    from emomtl.compose import remaining, stages
    from emomtl.errors import EmomtlError, Problem
    from emomtl.model.parallel.ranks import process_group
    from emomtl.plugins.discovery import Plugins
    from emomtl.run import check_new

    if allow_changed and not resume:
        raise EmomtlError(Problem("--allow-changed", "it lets a run that is resumed differ", "give --resume, too"))
    with process_group() as ranks:
        plugins = Plugins.discover()
        whole = compose_given(manifest, set_ or [], plugins)
        for note in plugins.notes if ranks.first else ():
            say(f"note: {note}")
        every = stages(whole, out or Path("runs") / whole.manifest.name)
        every = every[ranks.broadcast_object(len(every) - len(remaining(every)) if resume else 0) :]
        for number, (_, folder) in enumerate(every if ranks.first else ()):
            if not (resume and number == 0):
                check_new(folder)  # of both stages, and before corpora are read, which may take long
        for number, (plan, folder) in enumerate(every):
            outcome = _train(plan, folder, resume and number == 0, allow_changed or [], profile, json, ranks)
    if not ranks.first:
        return
    if json:
        print_json(scores_json(plan.manifest.name, "validation", outcome.scores["best"]))
    trust = " --trust-plugins" if any(name.endswith(".py") for name in plan.manifest.plugins) else ""
    after = [f"emomtl eval {folder} --split test{trust}", f"emomtl report {folder}", f"emomtl predict {folder} TEXT{trust}"]
    say(f"saved in {folder}; next: {', '.join(after)}")


def _train(plan: Plan, folder: Path, begun: bool, allowed: list[str], profile: bool, json: bool, ranks: Ranks) -> Outcome:
    """Train one run, new or `begun`, to its end; of several processes the first one shows what happens."""
    from emomtl.cli.output import console, scores_table
    from emomtl.cli.progress import make_display
    from emomtl.train import Display, resume, start, train
    from emomtl.train.profiling import profiled

    display = make_display() if ranks.first else Display()
    with display if isinstance(display, contextlib.AbstractContextManager) else contextlib.nullcontext():
        session = resume(plan, folder, display, allowed, ranks) if begun else start(plan, folder, display, ranks)
        timing: contextlib.AbstractContextManager[dict[str, Any]] = contextlib.nullcontext({})
        timing = profiled(session) if profile and ranks.first else timing
        with timing as times:
            outcome = train(session)
    if times:
        _print_profile(times)
    if ranks.first and not json:
        title = f"{plan.manifest.name}: validation after {outcome.steps:,} steps ({outcome.reason})"
        tuned = any(one.tuned for found in outcome.scores.values() for one in found.values())
        said = _chosen(plan, outcome) + ("; metrics with `_tuned` are cross-fitted" if tuned else "")
        other = "raw" if plan.manifest.eval.weights == "ema" else "ema"
        others = {f"{which}, {other} weights": scores for which, scores in outcome.other_scores.items()}
        console().print(scores_table(title, {**outcome.scores, **others}, said))
    return outcome


def _chosen(plan: Plan, outcome: Outcome) -> str:
    """Which checkpoint is the best, and by what it was chosen."""
    chooser = plan.selection_in_words
    if outcome.best_step is None or outcome.best_value is None:
        return f"best is the last checkpoint: {chooser}, which would choose it, was undefined at every evaluation"
    weights = f" with its {plan.manifest.eval.weights} weights" if outcome.other_scores else ""
    return f"best is step {outcome.best_step:,}, where {chooser} is {outcome.best_value:.4f}{weights}"


def _print_profile(found: dict[str, Any]) -> None:
    """A profile as a table and a few lines, on stderr."""
    from emomtl.cli.output import console, make_table, say

    rows = [[name, f"{found['seconds'][name]:.2f}", f"{share:.1%}"] for name, share in found["shares"].items()]
    title = f"profile of {found['steps']:,} steps in {found['seconds']['total']:.1f} s"
    console(stderr=True).print(make_table(title, ["phase", "seconds", "share"], rows))
    if found["listeners"]:
        rows = [[one["plugin"], one["event"], one["calls"], one["seconds"], one["slowest"]] for one in found["listeners"]]
        title = "listeners; their seconds are in the phases above"
        console(stderr=True).print(make_table(title, ["plugin", "event", "calls", "seconds", "slowest"], rows))
    rate = found["tokens_per_second"]
    say(f"{rate['real']:,.0f} real tokens/s, {rate['padded']:,.0f} with padding ({found['padding_share']:.1%} is padding)")
    ours, machine = found["model_flops_per_second"] / 1e9, found["machine_flops_per_second"] / 1e9
    utilisation = found["model_flops_utilisation"]
    say(f"{ours:,.1f} GFLOP/s of the model; plain matrix products reach {machine:,.1f}: a utilisation of {utilisation:.1%}")
    say(f"overhead: {found['overhead_share']:.1%} of the steps' time is neither the model's nor the optimiser's arithmetic")
