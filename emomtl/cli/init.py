"""`emomtl init` and `schema`: a manifest to begin with, and its JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins

SCHEMA_FILE = "emomtl.schema.json"


def init(
    from_: Annotated[
        str, Option("--from", metavar="NAME", help="The shipped manifest to start from.")
    ] = "quickstart",
    out: Annotated[Path, Option(help="The file to write.")] = Path("manifest.toml"),
    list_: Annotated[
        bool, Option("--list", help="Print the shipped manifests and write nothing.")
    ] = False,
) -> None:
    """Copy a shipped manifest, with its schema beside it so that editors complete and check it."""
    import json

    from emomtl.cli.output import say
    from emomtl.cli.shipped import shipped
    from emomtl.errors import EmomtlError, Problem, clean, suggest
    from emomtl.plugins.discovery import Plugins
    from emomtl.safety.files import write_bytes

    plugins = Plugins.discover()
    manifests = shipped(plugins, "manifest")
    if list_:
        for name, path in manifests.items():
            first_line = path.read_text(encoding="utf-8").split("\n", 1)[0]
            typer.echo(f"{name}: {first_line.lstrip('# ')}")
        return
    if from_ not in manifests:
        found = f"no shipped manifest '{clean(from_)}'"
        raise EmomtlError(Problem("--from", found, suggest(from_, manifests)))
    if out.exists():
        remedy = "name another file with --out, or remove it"
        raise EmomtlError(Problem("--out", f"{out} exists", remedy))
    if not out.parent.is_dir():
        found = f"the folder {out.parent} does not exist"
        raise EmomtlError(Problem("--out", found, "make it, or name another"))
    text = manifests[from_].read_text(encoding="utf-8")
    schema_file = out.parent / SCHEMA_FILE
    write_bytes(schema_file, json.dumps(_schema(plugins), indent=1).encode())
    write_bytes(out, f"#:schema ./{SCHEMA_FILE}\n{text}".encode())
    say(f"wrote {out} and {schema_file}; next: emomtl check {out}, then emomtl train {out}")


def schema() -> None:
    """Print the manifest's JSON Schema, with the options of everything that is installed."""
    from emomtl.cli.output import print_json
    from emomtl.plugins.discovery import Plugins

    print_json(_schema(Plugins.discover()))


def _schema(plugins: Plugins) -> dict[str, Any]:
    from emomtl.manifest import manifest_schema

    kinds = ("sampler", "weighting", "head", "change", "objective", "feature", "task")
    classes: dict[str, dict[str, type]] = {}
    for kind in kinds:
        values = {name: offer.value for name, offer in plugins.offers(kind).items()}
        # Of tasks, only families have options: they are classes, the others are `Task` objects.
        classes[kind] = {name: value for name, value in values.items() if isinstance(value, type)}
    return manifest_schema(classes)
