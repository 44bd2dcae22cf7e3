"""The pages of docs/reference that follow from the code: `python docs/generate.py` writes them, `--check` compares them.

Exit code 0, or 1 where `--check` finds a page that differs from what the code says now.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
# This checkout stands before whatever is installed, so what comes from it is imported below this line.
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "tasks")]

import tomli  # noqa: E402

from emomtl.contracts.task import DerivedTask  # noqa: E402
from emomtl.manifest import Manifest, option_model  # noqa: E402
from emomtl.manifest.words import Node, resolve, wanted  # noqa: E402
from emomtl.plugins.discovery import Plugins  # noqa: E402
from emomtl.plugins.offers import GROUP  # noqa: E402
from emomtl.study.claims import Claims  # noqa: E402
from emomtl.study.models import Study  # noqa: E402

HEADER = "<!-- Written by docs/generate.py: change the code and run it again. -->\n\n"
TABLES = {
    "encoder": "[encoder]",
    "tasks": "[tasks.NAME]",
    "objectives": "[objectives.NAME]",
    "features": "[features.NAME]",
    "sampler": "[sampler]",
    "weighting": "[weighting]",
    "train": "[train]",
    "eval": "[eval]",
    "checkpoint": "[checkpoint]",
    "data": "[data]",
    "start": "[start]",
    "pretrain": "[pretrain]",
}
"""The tables of the manifest, by key."""

HOOKIMPL = "The mark of a hook: `@hookimpl` above a function of a plugin that has the name of a [hook](hooks.md)."
MOST_DIFFERENCES = 20


def first_party() -> Plugins:
    """The plugins that pyproject.toml declares: those of this checkout, not of what is installed."""
    declared = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["emomtl"]
    return Plugins([EntryPoint(name, module, GROUP) for name, module in declared.items()])


# -- pieces of pages ----------------------------------------------------------------------------------------------------


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A markdown table."""
    names = list(columns)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def words_of(thing: Any) -> str:
    """The docstring of a thing; empty where nobody wrote one (a dataclass invents one that repeats its signature)."""
    found = inspect.getdoc(thing) or ""
    return "" if found.startswith(f"{getattr(thing, '__name__', '')}(") else found


def literal(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return repr(value)


def default_of(node: Node, required: bool) -> str:
    """The default of a key, in words."""
    if required:
        return "required"
    value = node.get("default")
    return f"`{literal(value)}`" if value is not None else "left out"


def key_rows(schema: Node, node: Node, described: bool) -> list[list[str]]:
    """A row for each key of a table: the key, what it takes, its default, and what it is for."""
    rows = []
    for key, inner in node.get("properties", {}).items():
        row = [f"`{key}`", wanted(schema, inner), default_of(inner, key in node.get("required", ()))]
        rows.append([*row, inner.get("description", "")] if described else row)
    return rows


# -- pages --------------------------------------------------------------------------------------------------------------


def manifest_page() -> str:
    """Every key of the manifest, then everything that this repository offers by name."""
    schema = Manifest.model_json_schema()
    parts = [
        "# The manifest: every key",
        "A manifest is a TOML file. Unknown keys are refused, values are not converted (text is no number), and all that is "
        "wrong is said at once, each with its line. Paths are relative to the manifest's folder.",
        "## Keys outside of tables",
    ]
    top = {**schema, "properties": {key: node for key, node in schema["properties"].items() if key not in TABLES}}
    parts.append(table(("key", "value", "default", "what for"), key_rows(schema, top, described=True)))
    for key, title in TABLES.items():
        node = schema["properties"][key]
        if key in ("tasks", "objectives", "features"):
            node = node.get("additionalProperties") or next(iter(node["patternProperties"].values()))
        parts += _manifest_table(schema, title, resolve(schema, node))
        if key == "tasks":
            parts += _manifest_table(schema, "[tasks.NAME.head]", schema["$defs"]["HeadTable"])
    plugins = first_party()
    for kind, title, about in (
        ("sampler", "Samplers", "`[sampler] use = NAME`; the options stand beside `use`."),
        ("weighting", "Weightings", "`[weighting] use = NAME`; the options stand beside `use`."),
        ("head", "Heads", "`[tasks.NAME.head] use = NAME`; the options stand beside `use`."),
        (
            "change",
            "Changes of the encoder",
            "`[[encoder.changes]] use = NAME`, one table each; see [sharing](../recipes.md#what-tasks-share).",
        ),
        ("objective", "Objectives", "`[objectives.NAME] use = NAME`; the options stand beside `use`, `task` and `weight`."),
        ("feature", "Features", "`[features.NAME] use = NAME`; the options stand beside `use`."),
    ):
        parts += [f"## {title}", about]
        for name, offer in plugins.offers(kind).items():
            parts += _offer(name, offer.value)
    parts += _tasks(plugins) + _encoders(plugins)
    parts += ["## Shipped manifests", "`emomtl init --from NAME` writes a copy.", _shipped(plugins, "manifest")]
    return "\n\n".join(parts)


def _manifest_table(schema: Node, title: str, node: Node) -> list[str]:
    about = node.get("description", "")
    rows = key_rows(schema, node, described=True)
    return [f"## `{title}`", *([about] if about else []), table(("key", "value", "default", "what for"), rows)]


def _offer(name: str, cls: type, level: str = "###") -> list[str]:
    """One offered dataclass: its name, its docstring, its options."""
    schema = option_model(cls).model_json_schema()
    rows = key_rows(schema, schema, described=False)
    options = table(("option", "value", "default"), rows) if rows else "It has no options."
    return [f"{level} `{name}`", words_of(cls), options]


def _tasks(plugins: Plugins) -> list[str]:
    """The tasks, those with options in full."""
    rows, families = [], []
    for name, offer in plugins.offers("task").items():
        family = isinstance(offer.value, type)
        if family:
            families.append((name, offer.value))
        if family and issubclass(offer.value, DerivedTask):
            rows.append([f"`{name}`", "", "", "", "yes", "as the task that it is made of"])
            continue
        task = offer.value().task() if family else offer.value
        labels = str(len(task.head.outputs(task.taxonomy)) or "from the rows")
        groupings = ", ".join(f"`{grouping.name}`" for grouping in task.taxonomy.groupings) if task.taxonomy else ""
        rows.append([f"`{name}`", task.head.kind, labels, groupings, "yes" if family else "", "yes" if task.sensitive else ""])
    parts = [
        "## Tasks",
        "An empty table `[tasks.NAME]` takes a task as it is declared. Where their rows come from: [data](../data.md).",
        table(("task", "head", "outputs", "groupings", "has options", "sensitive"), rows),
        "Tasks with options are task families; the options stand in `[tasks.NAME] options = { ... }`.",
    ]
    for name, cls in families:
        parts += _offer(name, cls)
    return parts


def _encoders(plugins: Plugins) -> list[str]:
    rows = []
    for name, offer in plugins.offers("encoder").items():
        source = offer.value
        where = f"hub id `{source.hub}`" if source.hub else f"Python package `{source.package}`: `{source.install}`"
        rows.append([f"`{name}`", where, source.pooling, source.about])
    about = "`[encoder] use` takes one of these short names, any hub id, or a folder with an encoder in it."
    return ["## Encoders", about, table(("name", "where", "pooling", "what it is"), rows)]


def _shipped(plugins: Plugins, kind: str) -> str:
    """A table of shipped files by name, each with the comment that it opens with."""
    rows = []
    for name, offer in plugins.offers(kind).items():
        lines = offer.value.read_text(encoding="utf-8").split("\n")
        comment = []
        for line in lines:
            if not line.startswith("#"):
                break
            comment.append(line.lstrip("#: "))
        rows.append([f"`{name}`", " ".join(comment)])
    return table(("name", "what it does"), rows)


def studies_page() -> str:
    """Every key of a study."""
    schema = Study.model_json_schema()
    parts = [
        "# The study: every key",
        "What a study is and what its table says: [studies](../studies.md). Unknown keys are refused.",
    ]
    for title, node in (
        ("Keys outside of tables", schema),
        ("`[[rows]]`", schema["$defs"]["RowTable"]),
        ("`[scales.NAME]`", schema["$defs"]["ScaleTable"]),
        ("`[space]`", schema["$defs"]["SpaceTable"]),
    ):
        parts += [f"## {title}", table(("key", "value", "default", "what for"), key_rows(schema, node, described=True))]
    parts.append("The tables of an `axes` list have the keys of a row.")
    parts += ["## Shipped studies", "`emomtl study NAME` runs one.", _shipped(first_party(), "study")]
    claims = Claims.model_json_schema()
    parts += ["# Claims: every key", "What claims are held against: [studies](../studies.md#claims)."]
    for title, node in (
        ("Keys of the file", claims),
        ("`[[claims]]`", claims["$defs"]["Claim"]),
        ("`evidence`", claims["$defs"]["Evidence"]),
    ):
        parts += [f"## {title}", table(("key", "value", "default", "what for"), key_rows(claims, node, described=True))]
    parts += ["## Shipped claims", "`emomtl claims NAME FOLDER...` judges them.", _shipped(first_party(), "claims")]
    return "\n\n".join(parts)


def commands_page() -> str:
    """Every command with its arguments and options."""
    from emomtl.cli.app import command, commands

    root = command()
    parts = [
        "# Commands",
        "Results go to stdout and everything else to stderr. Exit code 0: done; 1: something that you can mend, said in one "
        "message; 2: a wrong call; 130 and 143: stopped by Ctrl-C or SIGTERM. A traceback is a bug of ours.",
        f"{root.help}",
        table(("option", "default", "what it does"), _options(root)),
    ]
    for name, found in commands(root).items():
        arguments = [_shown(p) for p in found.params if p.param_type_name == "argument"]
        usage = " ".join(["emomtl", name, *(["[OPTIONS]"] if len(arguments) < len(found.params) else []), *arguments])
        parts += [f"## `emomtl {name}`", found.help or "", f"```text\n{usage}\n```"]
        rows = [[f"`{_shown(p)}`", "", p.help or ""] for p in found.params if p.param_type_name == "argument"] + _options(found)
        if rows:
            parts.append(table(("argument or option", "default", "what it does"), rows))
    return "\n\n".join(parts)


def _options(found: Any) -> list[list[str]]:
    rows = []
    for parameter in found.params:
        if parameter.param_type_name != "option":
            continue
        value = "" if parameter.is_flag else " " + (parameter.metavar or parameter.name.strip("_").upper())
        named = ", ".join(f"`{name}{value}`" for name in parameter.opts) + "".join(f", `{no}`" for no in parameter.secondary_opts)
        default = "" if parameter.default in (None, False) else "yes" if parameter.default is True else f"`{parameter.default}`"
        rows.append([named, default, parameter.help or ""])
    return rows


def _shown(argument: Any) -> str:
    """An argument as a usage line writes it."""
    if argument.metavar:
        return str(argument.metavar)
    name = argument.name.upper()
    if argument.nargs == -1:
        name = f"{name.removesuffix('S')}..."
    return name if argument.required else f"[{name}]"


def hooks_page() -> str:
    """Every hook with its signature."""
    from emomtl.contracts import hookspecs

    parts = [
        "# Hooks",
        "A plugin is a module with functions of these names, each under `@hookimpl`. A function may leave out arguments that it "
        "does not need. The types are those of [the Python names](python.md); how plugins are found: [plugins](../plugins.md).",
    ]
    hooks = {name: thing for name, thing in vars(hookspecs).items() if name.startswith("emomtl_")}
    for name, function in hooks.items():
        parts += [f"## `{name}`", f"```text\n{name}{signature(function)}\n```", words_of(function)]
    return "\n\n".join(parts)


def signature(thing: Callable[..., Any], one_line: bool = False) -> str:
    """A signature with types as the source writes them, without `self`, and without addresses or private defaults."""
    found = inspect.signature(thing)
    shown, starred = [], False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        sign = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        kind = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"
        shown.append(f"{sign}{parameter.name}{kind}{default}")
    answer = "" if found.return_annotation is found.empty else f" -> {_type(found.return_annotation)}"
    line = f"({', '.join(shown)}){answer}"
    return line if one_line or len(line) <= 90 or not shown else "(\n    " + ",\n    ".join(shown) + f",\n){answer}"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    shown = repr(value)
    return "..." if shown.startswith("<") or " at 0x" in shown else shown


def python_page() -> str:
    """The public names of `emomtl` and of `emomtl.testing`."""
    import emomtl

    parts = [
        "# Python names",
        "What outsiders may rely on: the names of `emomtl.__all__`, those of `emomtl.testing.__all__`, and the "
        "[hooks](hooks.md). Everything else may change without notice.",
        "## `emomtl`",
    ]
    for name in sorted(emomtl.__all__, key=str.lower):
        parts += _name(name, getattr(emomtl, name))
    if find_spec("emomtl.testing") is not None:
        import emomtl.testing as testing

        parts += ["## `emomtl.testing`", words_of(testing)]
        for name in sorted(testing.__all__, key=str.lower):
            parts += _name(name, getattr(testing, name))
    return "\n\n".join(parts)


def _name(name: str, thing: Any) -> list[str]:
    """One public name: signature, docstring, and what it declares itself with a docstring of its own."""
    if name == "__version__":
        return [f"### `{name}`", "The version, as text."]
    if name == "hookimpl":
        return [f"### `{name}`", HOOKIMPL]
    parts = [f"### `{name}`", f"```text\n{name}{signature(thing)}\n```", words_of(thing)]
    members = []
    for member, value in vars(thing).items() if inspect.isclass(thing) else ():
        if member.startswith("_"):
            continue
        function = value.fget if isinstance(value, property) else getattr(value, "func", value)
        attribute = function is not value
        function = getattr(function, "__func__", function)
        if inspect.isfunction(function) and function.__doc__:
            call = "" if attribute else signature(function, one_line=True)
            abstract = "to be written by every kind: " if getattr(value, "__isabstractmethod__", False) else ""
            members.append(f"- `{member}{call}`: {abstract}{' '.join(words_of(function).split())}")
    return [*parts, "\n".join(members)] if members else parts


# -- writing ------------------------------------------------------------------------------------------------------------

BUILDERS: Mapping[str, Callable[[], str]] = {
    "manifest.md": manifest_page,
    "studies.md": studies_page,
    "commands.md": commands_page,
    "hooks.md": hooks_page,
    "python.md": python_page,
}


def pages() -> dict[str, str]:
    """The text of every generated page by its file name."""
    return {name: HEADER + build().rstrip() + "\n" for name, build in BUILDERS.items()}


def differences(name: str, text: str) -> list[str]:
    """The lines in which a page on disk differs from what it should say."""
    path = PAGES / name
    there = path.read_text(encoding="utf-8") if path.is_file() else ""
    return list(difflib.unified_diff(there.splitlines(), text.splitlines(), "there", "now", lineterm="", n=0))


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which differ."""
    if arguments not in ([], ["--check"]):
        print("usage: python docs/generate.py [--check]", file=sys.stderr)
        return 2
    wrong = 0
    for name, text in pages().items():
        if not arguments:
            (PAGES / name).write_text(text, encoding="utf-8")
        elif lines := differences(name, text):
            wrong += 1
            print(f"docs/reference/{name} differs in {len(lines)} lines; run python docs/generate.py")
            print("\n".join(lines[:MOST_DIFFERENCES]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
