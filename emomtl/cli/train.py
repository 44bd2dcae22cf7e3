"""`emomtl train`: a manifest to a run directory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from emomtl.cli.options import Json, ManifestArgument, Overrides

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.model.parallel.ranks import Ranks
    from emomtl.train import Outcome


@dataclass(frozen=True)
class _Flags:
    """The options that hold for every run of the manifest."""

    allow_changed: list[str]
    profile: bool
    json: bool


def train(
    manifest: ManifestArgument,
    set_: Overrides = None,
    out: Annotated[Path | None, Option(help="The run directory; left out, runs/NAME.")] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    allow_changed: Annotated[
        list[str] | None,
        Option(metavar="KEY", help="With --resume: let this key differ; may be repeated."),
    ] = None,
    profile: Annotated[
        bool, Option("--profile", help="Time every phase, and write profile.json into the run.")
    ] = False,
    json: Json = False,
) -> None:
    """Train what a manifest says, into a run directory with checkpoints, scores and logs.

    `[pretrain]` and `[[stages]]` are runs of their own before it. Started by torchrun or
    `accelerate launch`, several processes train one run together (docs/performance.md).
    """
    from emomtl.cli.output import print_json, say, scores_json
    from emomtl.cli.shipped import compose_given
    from emomtl.compose import remaining, stages
    from emomtl.errors import EmomtlError, Problem
    from emomtl.model.parallel.ranks import process_group
    from emomtl.plugins.discovery import Plugins
    from emomtl.run import check_new

    if allow_changed and not resume:
        found = "it lets a run that is resumed differ"
        raise EmomtlError(Problem("--allow-changed", found, "give --resume, too"))
    flags = _Flags(allow_changed or [], profile, json)
    with process_group() as ranks:
        plugins = Plugins.discover()
        last = compose_given(manifest, set_ or [], plugins)
        runs = stages(last, out or Path("runs") / last.manifest.name)
        done = len(runs) - len(remaining(runs)) if resume else 0
        # The first process looks at the disk, so that all of them agree on what is done.
        runs = runs[ranks.broadcast_object(done) :]
        if ranks.first:
            for note in plugins.notes:
                say(f"note: {note}")
            # Refuse existing folders of all runs before corpora are read, which may take long.
            for _, folder in runs[1:] if resume else runs:
                check_new(folder)
        for number, (plan, folder) in enumerate(runs):
            outcome = _train(plan, folder, resume and number == 0, flags, ranks)
    if not ranks.first:
        return
    if json:
        print_json(scores_json(plan.manifest.name, "validation", outcome.scores["best"]))
    has_plugin_file = any(name.endswith(".py") for name in plan.manifest.plugins)
    trust = " --trust-plugins" if has_plugin_file else ""
    say(
        f"saved in {folder}; next: emomtl eval {folder} --split test{trust}, "
        f"emomtl report {folder}, emomtl predict {folder} TEXT{trust}"
    )


def _train(plan: Plan, folder: Path, is_begun: bool, flags: _Flags, ranks: Ranks) -> Outcome:
    """Train one run to its end; of several processes the first shows what happens."""
    from emomtl.cli.progress import make_display
    from emomtl.train import Display, resume, start, train
    from emomtl.train.profiling import profiled

    display = make_display() if ranks.first else Display()
    times: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        if isinstance(display, contextlib.AbstractContextManager):
            stack.enter_context(display)
        if is_begun:
            session = resume(plan, folder, display, flags.allow_changed, ranks)
        else:
            session = start(plan, folder, display, ranks)
        if flags.profile and ranks.first:
            times = stack.enter_context(profiled(session))
        outcome = train(session)
    if times:
        _print_profile(times)
    if ranks.first and not flags.json:
        _print_scores(plan, outcome)
    return outcome


def _print_scores(plan: Plan, outcome: Outcome) -> None:
    """The scores on validation, and which checkpoint is the best."""
    from emomtl.cli.output import console, scores_table

    title = f"{plan.manifest.name}: validation after {outcome.steps:,} steps ({outcome.reason})"
    caption = _best_in_words(plan, outcome)
    if any(task.tuned for scores in outcome.scores.values() for task in scores.values()):
        caption += "; metrics with `_tuned` are cross-fitted"
    other = "raw" if plan.manifest.eval.weights == "ema" else "ema"
    scores = dict(outcome.scores)
    for checkpoint, other_scores in outcome.other_scores.items():
        scores[f"{checkpoint}, {other} weights"] = other_scores
    console().print(scores_table(title, scores, caption))


def _best_in_words(plan: Plan, outcome: Outcome) -> str:
    """Which checkpoint is the best, and by which metric it was chosen."""
    metric = plan.selection_in_words
    if outcome.best_step is None or outcome.best_value is None:
        why = f"{metric}, which would choose it, was undefined at every evaluation"
        return f"best is the last checkpoint: {why}"
    weights = f" with its {plan.manifest.eval.weights} weights" if outcome.other_scores else ""
    return (
        f"best is step {outcome.best_step:,}, where {metric} is {outcome.best_value:.4f}{weights}"
    )


def _print_profile(profile: dict[str, Any]) -> None:
    """A profile as tables and a few lines, on stderr."""
    from emomtl.cli.output import console, make_table, say

    screen = console(stderr=True)
    seconds = profile["seconds"]
    rows = [
        [name, f"{seconds[name]:.2f}", f"{share:.1%}"] for name, share in profile["shares"].items()
    ]
    title = f"profile of {profile['steps']:,} steps in {seconds['total']:.1f} s"
    screen.print(make_table(title, ["phase", "seconds", "share"], rows))
    if profile["listeners"]:
        columns = ["plugin", "event", "calls", "seconds", "slowest"]
        rows = [[listener[column] for column in columns] for listener in profile["listeners"]]
        title = "listeners; their seconds are in the phases above"
        screen.print(make_table(title, columns, rows))
    tokens = profile["tokens_per_second"]
    padding = f"{profile['padding_share']:.1%} is padding"
    say(f"{tokens['real']:,.0f} real tokens/s, {tokens['padded']:,.0f} with padding ({padding})")
    model = profile["model_flops_per_second"] / 1e9
    machine = profile["machine_flops_per_second"] / 1e9
    utilisation = profile["model_flops_utilisation"]
    say(
        f"{model:,.1f} GFLOP/s of the model; plain matrix products reach {machine:,.1f}: "
        f"a utilisation of {utilisation:.1%}"
    )
    overhead = f"{profile['overhead_share']:.1%} of the steps' time"
    say(f"overhead: {overhead} is neither the model's nor the optimiser's arithmetic")
