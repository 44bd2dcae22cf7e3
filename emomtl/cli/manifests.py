"""`emomtl init`, `check` and `schema`: manifests before a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.data.corpus import TaskData
    from emomtl.plugins.discovery import Plugins
    from emomtl.train.cost import MeasuredCost
    from emomtl.train.forecast import MeanLengths

MOST_NAMED = 8
"""Tasks whose parameters are said one by one."""

SCHEMA_FILE = "emomtl.schema.json"


def init(
    from_: Annotated[str, typer.Option("--from", metavar="NAME", help="The shipped manifest to start from.")] = "quickstart",
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("manifest.toml"),
    list_: Annotated[bool, typer.Option("--list", help="Print the shipped manifests and write nothing.")] = False,
) -> None:
    """Write a manifest from a shipped one, with its schema beside it so that editors complete and check it."""
    import json

    from emomtl.cli.output import say
    from emomtl.errors import EmomtlError, Problem, clean, suggest
    from emomtl.plugins.discovery import Plugins
    from emomtl.safety.files import write_bytes

    plugins = Plugins.discover()
    shipped = {name: Path(offer.value) for name, offer in plugins.offers("manifest").items()}
    if list_:
        for name, path in shipped.items():
            typer.echo(f"{name}: {_first_comment(path)}")
        return
    if from_ not in shipped:
        raise EmomtlError(Problem("--from", f"no shipped manifest '{clean(from_)}'", suggest(from_, shipped)))
    if out.exists():
        raise EmomtlError(Problem("--out", f"{out} exists", "name another file with --out, or remove it"))
    if not out.parent.is_dir():
        raise EmomtlError(Problem("--out", f"the folder {out.parent} does not exist", "make it, or name another"))
    text = shipped[from_].read_text(encoding="utf-8")
    write_bytes(out.parent / SCHEMA_FILE, json.dumps(_schema(plugins), indent=1).encode())
    write_bytes(out, f"#:schema ./{SCHEMA_FILE}\n{text}".encode())
    say(f"wrote {out} and {out.parent / SCHEMA_FILE}; next: emomtl check {out}, then emomtl train {out}")


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def schema() -> None:
    """Print the manifest's JSON Schema, with the options of everything that is installed."""
    from emomtl.cli.output import print_json
    from emomtl.plugins.discovery import Plugins

    print_json(_schema(Plugins.discover()))


def _schema(plugins: Plugins) -> dict[str, Any]:
    from emomtl.manifest import manifest_schema

    offers = {
        kind: {name: offer.value for name, offer in plugins.offers(kind).items()}
        for kind in ("sampler", "weighting", "head", "change", "objective", "feature")
    }
    families = {name: offer.value for name, offer in plugins.offers("task").items() if isinstance(offer.value, type)}
    return manifest_schema({**offers, "task": families})


def check(
    manifest: Annotated[Path, typer.Argument(help="The manifest: a TOML file, or a shipped one's name.", show_default=False)],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")] = None,
    step: Annotated[bool, typer.Option("--step/--no-step", help="Take a few steps, and say from them what a run costs.")] = True,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="OTHER", help="A manifest or a shipped one's name: are updates equal?"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Resolve a manifest, read its rows, take a few steps, and print what a run would do and cost; nothing is kept."""
    from emomtl.cli.output import print_json, say
    from emomtl.cli.shipped import compose_given
    from emomtl.compose import plans
    from emomtl.plugins.discovery import Plugins
    from emomtl.train.forecast import over_stages

    plugins = Plugins.discover()
    plan = compose_given(manifest, set_ or [], plugins)
    runs = plans(plan)
    every = [_expected(one, step) for one in runs]
    expected = every[-1]
    if against is not None:
        expected["against"] = _against(plan, over_stages(every), against, plugins)
    if json:
        print_json({**expected, **_earlier(runs, every)})
    else:
        for one in every:
            _print_expected(one["run"], one)
        if len(runs) > 1:
            updates = over_stages(every)["tasks"].items()
            say("updates over all stages: " + ", ".join(f"{task} {facts['updates']:,}" for task, facts in updates))
    for warning in expected.get("against", {}).get("warnings", ()):
        remedy = "give both the same `train.target_updates` and `train.target`"
        say(f"warning: {warning}: the two do not compare at equal training ({remedy}, and the task the same batch size)")
    if not json:
        say(f"{manifest} is fine")


def _earlier(runs: Sequence[Plan], every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For a program: what the runs before the last one would do, `[pretrain]` and the stages, in order."""
    found: dict[str, Any] = {}
    for following, expected in zip(runs[1:], every, strict=False):
        if following.manifest.pretrain is not None:
            found["pretrain"] = expected
        else:
            assert following.before is not None
            found.setdefault("stages", []).append({"stage": following.before.stage, **expected})
    return found


def _expected(plan: Plan, step: bool) -> dict[str, Any]:
    """What a run would do and, with `step`, what it would cost; leaks that it would train on are warned of."""
    from emomtl.cli.output import say
    from emomtl.train.balance import label_shares
    from emomtl.train.cost import estimate, measure_cost
    from emomtl.train.forecast import forecast, shared_step, task_notes
    from emomtl.train.scale import task_scales, with_fitted_heads

    data = _read(plan)
    fitted = with_fitted_heads(plan.with_taxonomies(data.taxonomies), data)
    scales = {task: scale.sentence for task, scale in task_scales(fitted, data).items()}
    if step:
        found = _tried(lambda: measure_cost(plan))
        for line in found.notes:
            say(f"note: {line}")
        expected = forecast(plan, data, found.lengths)
        expected |= {"first_losses": found.losses, **estimate(expected, found, plan, data)}
    else:
        expected = forecast(plan, data, _lengths(plan))
    expected |= {"select": plan.manifest.eval.select, "chosen_by": plan.selection_in_words}
    expected["loss_scale"] = scales
    if shares := label_shares(plan, data):
        expected["label_shares"] = shares
    if said := task_notes(fitted):
        expected["along_the_run"] = said
    if plan.manifest.devices is not None:
        expected |= {"processes": shared_step(plan.manifest)}
    leaks = {task: leak for task, leak in data.leaks.items() if leak.rows}
    for task, leak in leaks.items() if not plan.manifest.data.drop_leaks else ():
        say(f"warning: {task}: {leak}: `[data] drop_leaks = true` leaves them out, `emomtl data audit` shows them")
    if data.noise:
        expected |= {"label_noise": {task: noise.as_json() for task, noise in data.noise.items()}}
    return expected | ({"leaks": {task: leak.as_json() for task, leak in leaks.items()}} if leaks else {})


def _tried(steps: Callable[[], MeasuredCost]) -> MeasuredCost:
    """What a few steps measured; an error in them, of a plugin or of emomtl, is a finding with the line that raised it."""
    import traceback

    from emomtl.errors import EmomtlError, Problem, clean

    try:
        return steps()
    except EmomtlError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        found = f"a step of this run fails: {type(error).__name__}: {clean(str(error), 200)}"
        remedy = "`emomtl train` would stop there too, with the whole traceback; --no-step checks all but that"
        raise EmomtlError(Problem("", found, remedy, frame.filename, frame.lineno)) from error


def _read(plan: Plan) -> TaskData:
    """The rows of a plan for training; what there is to note is said."""
    from emomtl.cli.output import say
    from emomtl.contracts.sources import SPLITS
    from emomtl.train import Display
    from emomtl.train.checks import check_targets
    from emomtl.train.reading import read

    class Notes(Display):
        """Only the notes."""

        def note(self, line: str) -> None:
            say(f"note: {line}")

    data = read(plan, Notes(), SPLITS, leaks="count")
    for line in check_targets(plan, data):
        say(f"note: {line}")
    return data


def _lengths(plan: Plan) -> MeanLengths | None:
    """Mean lengths, or None (and a note) where the encoder is not at hand: no step needs it here.

    One that is there and not whole is an error all the same.
    """
    from emomtl.cli.output import say
    from emomtl.errors import EmomtlError
    from emomtl.model.pretrained import WrongEncoder
    from emomtl.train.cost import sample_lengths

    try:
        lengths, notes = sample_lengths(plan)
        for line in notes:
            say(f"note: {line}")
        return lengths
    except WrongEncoder:
        raise
    except EmomtlError as error:
        say(f"note: tokens are not counted: {error}")
        return None


def _against(plan: Plan, expected: Mapping[str, Any], against: Path, plugins: Plugins) -> dict[str, Any]:
    """How often the task that two manifests share is trained by each."""
    from emomtl.cli.shipped import compose_given
    from emomtl.compose import plans
    from emomtl.train.forecast import compare, forecast, over_stages

    other = compose_given(against, [], plugins)
    theirs = over_stages([forecast(one, _read(one)) for one in plans(other)])
    return {"manifest": str(against), **compare(plan, expected, other, theirs)}


def _print_expected(name: str, expected: Mapping[str, Any]) -> None:
    """The table of tasks on stdout, and on stderr what else there is to say."""
    from emomtl.cli.output import console, make_table, say

    columns = ["task", "rows", "labels", "updates", "share of updates", "examples", "passes"]
    columns += ["tokens"] if "tokens" in expected else []
    rows = [[task, *(facts[name] for name in columns[1:])] for task, facts in expected["tasks"].items()]
    titles = [{"tokens": "tokens (about)"}.get(column, column) for column in columns]
    console().print(make_table(f"{name}: about {expected['steps']:,} steps", titles, rows))
    for task, shares in expected.get("label_shares", {}).items():
        rows = [[label, f"{own:.2%}", f"{drawn:.2%}"] for label, (own, drawn) in shares.items()]
        title = f"{task}: rows are drawn by the balance of their labels"
        console().print(make_table(title, ["label", "share of rows", "share of drawn rows"], rows))
    say(f"the best checkpoint is chosen on validation by {expected['chosen_by']}")
    for task, sentence in expected["loss_scale"].items():
        say(f"{task}: {sentence}")
    for task, lines in expected.get("along_the_run", {}).items():
        for line in lines:
            say(f"{task}: {line}")
    for task, loss in expected.get("first_losses", {}).items():
        say(f"one step on a few rows: the loss of {task} is {loss:.4f}")
    if "seconds" in expected:
        seconds, memory = expected["seconds"], expected["memory_bytes"]
        scoring = f"{_duration(seconds['scoring'])} of it for {expected['evaluations']:,} evaluation(s)"
        source = f"from {expected['calibrated_steps']} calibrated steps"
        say(f"time: about {_duration(seconds['total'])} on this machine, {source}; {scoring}")
        parts = ", ".join(f"{part} {size / 2**20:,.0f}" for part, size in memory.items() if part != "total")
        say(_shared_and_own(expected["parameters"], expected["sharing"]))
        say(f"memory: about {memory['total'] / 2**20:,.0f} MiB for {expected['parameters']:,} parameters ({parts} MiB)")
    if "processes" in expected:
        shared = expected["processes"]
        each = " to ".join(str(number) for number in sorted(set(shared["each"])))
        say(f"{shared['number']} process(es) share the {shared['examples']} examples of a step: {each} each")
        if not min(shared["each"]):
            say("warning: some processes have nothing to do in a step (raise train.batch_size, or lower devices)")
    if "against" in expected and not expected["against"]["warnings"]:
        found = expected["against"]
        say(f"{found['task']} gets as many updates in {found['run']}: {found['updates'][0]:,} and {found['updates'][1]:,}")


def _shared_and_own(total: int, counts: Mapping[str, Any]) -> str:
    """Whose the parameters are, in one line; of many tasks only the sum."""
    tasks: dict[str, int] = counts["tasks"]
    own = ", ".join(f"{count:,} of {task} alone" for task, count in tasks.items())
    if len(tasks) > MOST_NAMED:
        own = f"{sum(tasks.values()):,} of {len(tasks)} single tasks"
    return f"parameters: {total:,} ({counts['trainable']:,} trained): {counts['shared']:,} shared, {own}"


def _duration(seconds: float) -> str:
    """A rough time, as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
