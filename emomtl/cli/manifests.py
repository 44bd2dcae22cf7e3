"""`emomtl init`, `check` and `schema`: manifests before a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.plugins import Plugins

SCHEMA_FILE = "emomtl.schema.json"


def init(
    from_: Annotated[str, typer.Option("--from", metavar="NAME", help="The shipped manifest to start from.")] = "quickstart",
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("manifest.toml"),
    list_: Annotated[bool, typer.Option("--list", help="Print the shipped manifests and write nothing.")] = False,
) -> None:
    """Write a manifest from a shipped one, with its schema beside it so that editors complete and check it."""
    import json

    from emomtl.cli.output import say
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.plugins import Plugins
    from emomtl.run.files import write_bytes

    plugins = Plugins.discover()
    shipped = {name: Path(offer.value) for name, offer in plugins.offers("manifest").items()}
    if list_:
        for name, path in shipped.items():
            typer.echo(f"{name}: {_first_comment(path)}")
        return
    if from_ not in shipped:
        raise EmomtlError(Problem("--from", f"no shipped manifest '{from_}'", suggest(from_, shipped)))
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
    from emomtl.plugins import Plugins

    print_json(_schema(Plugins.discover()))


def _schema(plugins: Plugins) -> dict[str, Any]:
    from emomtl.manifest import manifest_schema

    offers = {
        kind: {name: offer.value for name, offer in plugins.offers(kind).items()} for kind in ("sampler", "weighting", "head")
    }
    families = {name: offer.value for name, offer in plugins.offers("task").items() if isinstance(offer.value, type)}
    return manifest_schema({**offers, "task": families})


def check(
    manifest: Annotated[Path, typer.Argument(help="The manifest, a TOML file.", show_default=False)],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")] = None,
    step: Annotated[bool, typer.Option("--step/--no-step", help="Take one training step on a few rows.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Resolve a manifest, read its rows, take one step, and print what a run would do; nothing is kept."""
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.compose import compose_file
    from emomtl.plugins import Plugins
    from emomtl.train import Display
    from emomtl.train.forecast import forecast
    from emomtl.train.session import read

    class Notes(Display):
        """Only the notes."""

        def note(self, line: str) -> None:
            say(f"note: {line}")

    plan = compose_file(manifest, set_ or [], Plugins.discover())
    data = read(plan, Notes(), ("train", "validation"))
    for task in data.taxonomies:
        data.rows(task, "validation")
    expected = forecast(plan, data)
    if step:
        expected = {**expected, "first_losses": _first_step(plan)}
    if json:
        print_json(expected)
        return
    columns = ["task", "rows", "labels", "updates", "share of updates", "examples", "passes"]
    rows = [[task, *(facts[name] for name in columns[1:])] for task, facts in expected["tasks"].items()]
    console().print(make_table(f"{plan.manifest.name}: about {expected['steps']:,} steps", columns, rows))
    for task, loss in expected.get("first_losses", {}).items():
        say(f"one step on a few rows: the loss of {task} is {loss:.4f}")
    say(f"{manifest} is fine")


def _first_step(plan: Plan) -> dict[str, float]:
    """The losses of one step on at most 256 rows a task, in a temporary folder."""
    import tempfile
    from dataclasses import replace

    from emomtl.train import Display, start
    from emomtl.train.loop import first_losses

    few = {"limit": 256, "eval_limit": 64}
    tasks = {name: replace(bound, table=bound.table.model_copy(update=few)) for name, bound in plan.tasks.items()}
    with tempfile.TemporaryDirectory(prefix="emomtl-check-") as folder:
        return first_losses(start(replace(plan, tasks=tasks), Path(folder) / "run", Display()))
