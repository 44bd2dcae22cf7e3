"""`emomtl check`: what a manifest's run would do and cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from emomtl.cli.options import Json, ManifestArgument, Overrides

MOST_NAMED = 8
"""With more tasks than this, the parameters of single tasks are shown as one sum."""


def check(
    manifest: ManifestArgument,
    set_: Overrides = None,
    step: Annotated[
        bool, Option(help="Take a few steps, and say from them what a run costs.")
    ] = True,
    against: Annotated[
        Path | None,
        Option(metavar="OTHER", help="A manifest or a shipped one's name: are updates equal?"),
    ] = None,
    json: Json = False,
) -> None:
    """Resolve a manifest, read its rows, take a few steps, and print what a run would do and cost.

    Nothing is kept.
    """
    from emomtl.cli.output import print_json, say
    from emomtl.cli.shipped import compose_given
    from emomtl.plugins.discovery import Plugins
    from emomtl.train.dry_run import compare_updates, dry_runs, dry_runs_as_json
    from emomtl.train.forecast import over_stages

    plugins = Plugins.discover()
    plan = compose_given(manifest, set_ or [], plugins)
    expectations = dry_runs(plan, step, say)
    if against is not None:
        other = compose_given(against, [], plugins)
        compared = compare_updates(plan, expectations, other, say)
        expectations[-1]["against"] = {"manifest": str(against), **compared}
    if json:
        print_json(dry_runs_as_json(plan, expectations))
    else:
        for expected in expectations:
            _print_expected(expected)
        if len(expectations) > 1:
            tasks = over_stages(expectations)["tasks"]
            updates = [f"{task} {facts['updates']:,}" for task, facts in tasks.items()]
            say(f"updates over all stages: {', '.join(updates)}")
    for warning in expectations[-1].get("against", {}).get("warnings", ()):
        remedy = "give both the same `train.target_updates` and `train.target`"
        say(
            f"warning: {warning}: the two do not compare at equal training "
            f"({remedy}, and the task the same batch size)"
        )
    if not json:
        say(f"{manifest} is fine")


def _print_expected(expected: Mapping[str, Any]) -> None:
    """One run: the table of its tasks on stdout, everything else on stderr."""
    from emomtl.cli.output import console, make_table, say

    columns = ["task", "rows", "labels", "updates", "share of updates", "examples", "passes"]
    titles = list(columns)
    if "tokens" in expected:
        columns.append("tokens")
        titles.append("tokens (about)")
    rows = [[task, *map(facts.get, columns[1:])] for task, facts in expected["tasks"].items()]
    title = f"{expected['run']}: about {expected['steps']:,} steps"
    console().print(make_table(title, titles, rows))
    for task, shares in expected.get("label_shares", {}).items():
        rows = [[label, f"{own:.2%}", f"{drawn:.2%}"] for label, (own, drawn) in shares.items()]
        title = f"{task}: rows are drawn by the balance of their labels"
        columns = ["label", "share of rows", "share of drawn rows"]
        console().print(make_table(title, columns, rows))
    say(f"the best checkpoint is chosen on validation by {expected['chosen_by']}")
    for task, sentence in expected["loss_scale"].items():
        say(f"{task}: {sentence}")
    for task, lines in expected.get("along_the_run", {}).items():
        for line in lines:
            say(f"{task}: {line}")
    for task, loss in expected.get("first_losses", {}).items():
        say(f"one step on a few rows: the loss of {task} is {loss:.4f}")
    if "seconds" in expected:
        _print_cost(expected)
    if "processes" in expected:
        processes = expected["processes"]
        each = " to ".join(str(number) for number in sorted(set(processes["each"])))
        number, examples = processes["number"], processes["examples"]
        say(f"{number} process(es) share the {examples} examples of a step: {each} each")
        if not min(processes["each"]):
            remedy = "raise train.batch_size, or lower devices"
            say(f"warning: some processes have nothing to do in a step ({remedy})")
    if "against" in expected and not expected["against"]["warnings"]:
        other = expected["against"]
        here, there = other["updates"]
        say(f"{other['task']} gets as many updates in {other['run']}: {here:,} and {there:,}")


def _print_cost(expected: Mapping[str, Any]) -> None:
    """Time, parameters and memory."""
    from emomtl.cli.output import say

    seconds, memory = expected["seconds"], expected["memory_bytes"]
    scoring = f"{_duration(seconds['scoring'])} of it for {expected['evaluations']:,} evaluation(s)"
    source = f"from {expected['calibrated_steps']} calibrated steps"
    say(f"time: about {_duration(seconds['total'])} on this machine, {source}; {scoring}")
    total, counts = expected["parameters"], expected["sharing"]
    tasks: dict[str, int] = counts["tasks"]
    own = ", ".join(f"{count:,} of {task} alone" for task, count in tasks.items())
    if len(tasks) > MOST_NAMED:
        own = f"{sum(tasks.values()):,} of {len(tasks)} single tasks"
    trained, shared = counts["trainable"], counts["shared"]
    say(f"parameters: {total:,} ({trained:,} trained): {shared:,} shared, {own}")
    sizes = [f"{part} {size / 2**20:,.0f}" for part, size in memory.items() if part != "total"]
    mebibytes = f"{memory['total'] / 2**20:,.0f} MiB"
    say(f"memory: about {mebibytes} for {total:,} parameters ({', '.join(sizes)} MiB)")


def _duration(seconds: float) -> str:
    """A rough time, such as `12 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
