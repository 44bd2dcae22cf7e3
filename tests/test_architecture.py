"""The house: layers, cycles, sizes, plugin boundaries, and what must not be imported at the start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    "emomtl": ROOT / "emomtl",
    "emomtl_plugins": ROOT / "plugins/emomtl_plugins",
    "emomtl_tasks": ROOT / "tasks/emomtl_tasks",
}

LAYERS = [
    {"__main__"},
    {"api"},
    {"cli"},
    {"testing"},
    {"study"},
    {"export"},
    {"analyses"},
    {"report", "train"},
    {"inference"},
    {"compose"},
    {"model", "data", "run"},
    {"manifest", "plugins", "metrics"},
    {"lexicon"},
    {"contracts"},
    {"safety.untrusted", "safety.files", "safety.hub_access"},
    {"errors", "seeds", "version"},
    {"safety.escaping", "safety.redaction"},
]
"""From top to bottom: a module imports only from layers below its own, and nothing beside it."""

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "sklearn",
    "pandas",
    "pyarrow",
    "scipy",
    "matplotlib",
    "yaml",
)
WITH_TORCH = {"train", "inference", "model", "export", "api"}
"""The only packages of emomtl whose modules may import torch when they are imported."""

MOST_LINES, MOST_FUNCTION_LINES = 450, 60
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
"""Exceptions, each with its reason."""


def modules() -> list[tuple[str, Path]]:
    found = []
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            if "skeleton_files" in path.parts:
                continue
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


MODULES = modules()
IDS = [name for name, _ in MODULES]


def imports(
    path: Path, module: str, everywhere: bool = True, typing: bool = False
) -> Iterator[tuple[str, int]]:
    """What a module imports at run time: (name, line); with `typing` under TYPE_CHECKING, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def walk(node: ast.AST) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test) and not typing:
                continue
            if (
                isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                and not everywhere
            ):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, base]).rstrip(".")
                yield from ((f"{base}.{alias.name}", child.lineno) for alias in child.names)
            yield from walk(child)

    yield from walk(tree)


def layer(name: str) -> int | None:
    """The layer of `emomtl.x...`, 0 on top; None for the package itself and what is not ours."""
    parts = name.split(".")
    if parts[0] != "emomtl" or len(parts) < 2:
        return None
    return next(
        (
            number
            for number, names in enumerate(LAYERS)
            if parts[1] in names or ".".join(parts[1:3]) in names
        ),
        None,
    )


def test_every_module_of_emomtl_has_a_layer() -> None:
    known = {name.split(".")[0] for name in set().union(*LAYERS)}
    assert {name.split(".")[1] for name in IDS if name.startswith("emomtl.")} <= known


@pytest.mark.parametrize(("module", "path"), MODULES, ids=IDS)
def test_a_module_imports_only_from_layers_below_its_own(module: str, path: Path) -> None:
    own = layer(module)
    if own is None:
        return
    room = module.split(".")[1]
    wrong = [
        f"line {line}: {name}"
        for name, line in imports(path, module)
        if (there := layer(name)) is not None and name.split(".")[1] != room and there <= own
    ]
    assert not wrong


def test_there_are_no_cycles_between_files_not_even_of_types() -> None:
    known = dict(MODULES)
    edges = {}
    for module, path in MODULES:
        targets = set()
        for name, _ in imports(path, module, typing=True):
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and name != module and not module.startswith(f"{name}."):
                targets.add(name)
        edges[module] = targets
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for target in sorted(edges[module]):
            visit(target, (*trail, module))
        done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize(
    ("module", "path"), [m for m in MODULES if not m[0].startswith("emomtl.") and m[0] != "emomtl"]
)
def test_our_plugins_use_only_public_names(module: str, path: Path) -> None:
    import emomtl

    wrong = []
    for name, line in imports(path, module):
        if name == "emomtl" or name.startswith("emomtl."):
            public = name.removeprefix("emomtl.")
            if public not in emomtl.__all__ and not name.startswith("emomtl.testing"):
                wrong.append(f"line {line}: {name}")
    assert not wrong


def test_the_framework_knows_no_plugin() -> None:
    for module, path in MODULES:
        if module.split(".")[0] == "emomtl":
            assert not [
                name
                for name, _ in imports(path, module)
                if name.startswith(("emomtl_plugins", "emomtl_tasks"))
            ], module


def _code_lines(node: ast.AST, text: list[str]) -> int:
    """Lines of a module, or of a function's body, that are neither blank, comment nor docstring.

    The signature of a command is its list of options, and is not counted.
    """
    skipped: set[int] = set()
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in inner.body:
                if (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                ):
                    skipped.update(
                        range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
                    )
    is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    first, last = node.body[0].lineno if is_function else 1, getattr(node, "end_lineno", len(text))
    return sum(
        1
        for n in range(first, last + 1)
        if n not in skipped and (line := text[n - 1].strip()) and not line.startswith("#")
    )


@pytest.mark.parametrize(("module", "path"), MODULES, ids=IDS)
def test_files_and_functions_are_small_enough_to_hold(module: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8").splitlines()
    tree = ast.parse("\n".join(text))
    assert module in LONG_FILES or _code_lines(tree, text) <= MOST_LINES
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and f"{module}.{node.name}" not in LONG_FUNCTIONS
        ):
            assert _code_lines(node, text) <= MOST_FUNCTION_LINES, f"{module}.{node.name}"


@pytest.mark.parametrize(("module", "path"), MODULES, ids=IDS)
def test_every_module_class_and_public_function_says_what_it_is_for(
    module: str, path: Path
) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "no module docstring"
    bare = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not ast.get_docstring(node):
            bare.append(node.name)
        if (
            isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            hook = any("hookimpl" in ast.dump(decorator) for decorator in node.decorator_list)
            bare += [] if hook else [node.name]
    assert not bare


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    names = {name.rpartition(".")[2] for name in IDS} - {"__main__"}
    assert not names & sys.stdlib_module_names


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils.py", "common.py", "base.py", "helpers.py", "misc.py"}
    assert not [path for _, path in MODULES if path.name in drawers]


@pytest.mark.parametrize(("module", "path"), MODULES, ids=IDS)
def test_nothing_heavy_is_imported_at_the_start(module: str, path: Path) -> None:
    room = module.split(".")[1] if "." in module else ""
    if module.startswith("emomtl.") and room in WITH_TORCH:
        return
    at_import = [
        name for name, _ in imports(path, module, everywhere=False) if name.split(".")[0] in HEAVY
    ]
    assert not at_import


LIGHT = [
    "import emomtl",
    "from emomtl.cli.app import command; command()",
    (
        "from emomtl.plugins.discovery import Plugins\nfrom emomtl.plugins.offers import KINDS\np ="
        " Plugins.discover()\n[p.offers(kind) for kind in KINDS]; assert not p.broken"
    ),
    (
        "from emomtl.manifest import read_draft; from pathlib import Path;"
        " read_draft(Path('tasks/manifests/quickstart.toml'))"
    ),
    "from emomtl.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    "from emomtl.cli import main\ntry: main(['tasks'])\nexcept SystemExit: pass",
    "from emomtl.cli import main\ntry: main(['plugins'])\nexcept SystemExit: pass",
]


@pytest.mark.parametrize("code", LIGHT)
def test_what_needs_no_torch_loads_none(code: str) -> None:
    check = (
        "\nimport sys\nloaded = {'torch', 'transformers', 'datasets', 'sklearn'} &"
        " set(sys.modules)\nassert not loaded, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


UNPICKLERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "joblib",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "jsonpickle",
    "pandas",
}
"""Packages that make objects, or run code, of what they read; none is used."""

UNPACKERS = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "zstandard"}
"""Nothing that is packed is unpacked, so that no archive leads out of a folder and none is a bomb.
"""

CALLS = {"eval", "exec", "compile", "__import__", "input"}
METHODS = {
    *(
        "yaml.load",
        "yaml.load_all",
        "yaml.full_load",
        "yaml.full_load_all",
        "yaml.unsafe_load",
        "yaml.unsafe_load_all",
    ),
    *(
        "torch.load",
        "torch.hub.load",
        "torch.package",
        "np.load",
        "numpy.load",
        "np.fromfile",
        "np.loadtxt",
        "np.memmap",
    ),
    *(
        "os.system",
        "os.popen",
        "os.execv",
        "os.execvp",
        "os.execve",
        "os.spawnv",
        "shutil.unpack_archive",
        "subprocess.getoutput",
    ),
}
ALLOWED = {
    "allow_pickle": False,
    "trust_remote_code": False,
    "shell": False,
    "weights_only": True,
    "use_safetensors": True,
}
"""Keywords that may only be given this value."""


def _unsafe(node: ast.AST) -> str | None:
    """What a node does that could run code from data: unpickling, unpacking, evaluating, or
    trusting a model's code.
    """
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
        whole = (
            [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        found = [name for name in names if name.split(".")[0] in UNPICKLERS | UNPACKERS]
        return next(iter(found + [name for name in whole if name in METHODS]), None)
    if isinstance(node, ast.Attribute):
        name = ast.unparse(node)
        return name if name in METHODS else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        return node.func.id
    if isinstance(node, ast.keyword) and node.arg in ALLOWED:
        return (
            node.arg
            if not (isinstance(node.value, ast.Constant) and node.value.value is ALLOWED[node.arg])
            else None
        )
    return None


def test_nothing_unpickles_unpacks_evaluates_or_trusts_remote_code() -> None:
    nodes = (
        (module, node)
        for module, path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )
    assert not [f"{module}: {found}" for module, node in nodes if (found := _unsafe(node))]


@pytest.mark.parametrize(
    "code",
    [
        *(
            "import pickle",
            "from joblib import load",
            "import zipfile",
            "from torch import load",
            "torch.load(x)",
        ),
        *(
            "np.load(x)",
            "yaml.load(x)",
            "eval(x)",
            "exec(x)",
            "f(x, allow_pickle=True)",
            "f(x, trust_remote_code=given)",
            "f(x, shell=True)",
        ),
    ],
)
def test_what_could_run_code_from_data_would_be_found(code: str) -> None:
    assert any(_unsafe(node) for node in ast.walk(ast.parse(code)))


def test_no_path_or_host_of_a_machine_stands_in_the_project() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    found = []
    for name in listed:
        path = ROOT / name
        if not name or not path.is_file() or path.suffix in {".png", ".tsv"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [
            name
            for needle in (str(ROOT.parent) + "/", "/root/", "extra-index-url")
            if needle in text and path != Path(__file__)
        ]
    assert not found
