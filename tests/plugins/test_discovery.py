"""Plugins are found by metadata and imported on demand; a broken one breaks only who needs it, and
every error names it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError
from emomtl.plugins.discovery import Plugins

Install = Callable[..., None]
SAMPLER = """
from dataclasses import dataclass
from emomtl import Sampler, hookimpl

@dataclass(frozen=True)
class Even(Sampler):
    def probabilities(self, moment):
        return dict.fromkeys(moment.tasks, 1 / len(moment.tasks))

@hookimpl
def emomtl_samplers():
    return {names}
"""
LISTENER = """
from emomtl import hookimpl
HEARD = []

@hookimpl
def emomtl_started(run):
    HEARD.append("started")

@hookimpl
def emomtl_stepped(run, step, losses):
    HEARD.append(("stepped", step, sorted(losses)))

@hookimpl
def emomtl_evaluated(run, step, scores):
    HEARD.append(("evaluated", step, sorted(scores)))

@hookimpl
def emomtl_should_stop(run, scores):
    return {reason!r}

@hookimpl
def emomtl_checkpointed(run, path):
    HEARD.append(("checkpointed", path.name))

@hookimpl
def emomtl_finished(run, error):
    HEARD.append(("finished", error))
"""


def even(*names: str) -> str:
    return SAMPLER.replace("{names}", "{" + ", ".join(f"{name!r}: Even" for name in names) + "}")


def test_an_offer_by_name_imports_only_its_module() -> None:
    code = """
import sys
from emomtl.plugins.discovery import Plugins
found = Plugins.discover()
assert found.entries
ours = [name for name in sys.modules if name.startswith(("emomtl_plugins", "emomtl_tasks"))]
assert not ours, ours
found.offer("sampler", "annealed")
others = ("emomtl_tasks", "emomtl_plugins.weightings")
tasks = [name for name in sys.modules if name.startswith(others)]
assert not tasks, tasks
heavy = {"torch", "transformers", "datasets", "sklearn", "pandas"} & set(sys.modules)
assert not heavy, heavy
for kind in ("task", "sampler", "weighting", "head", "encoder", "manifest"):
    assert found.offers(kind), kind
heavy = {"torch", "transformers", "datasets", "sklearn", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_does_not_import_breaks_only_who_needs_it(install: Install) -> None:
    install("emomtl-bad", {"bad_import": "raise RuntimeError('no luck')"}, {"lucky": "bad_import"})
    plugins = Plugins.discover()
    assert plugins.offer("sampler", "annealed").name == "annealed"
    assert plugins.broken == {}
    assert "annealed" in plugins.offers("sampler")
    assert plugins.broken == {"bad_import (emomtl-bad 1.0)": "RuntimeError: no luck"}
    with pytest.raises(EmomtlError) as caught:
        plugins.offer("sampler", "lucky")
    assert "bad_import (emomtl-bad 1.0), does not import: RuntimeError: no luck" in str(
        caught.value
    )
    with pytest.raises(EmomtlError, match="do not import, see `emomtl plugins`"):
        plugins.offer("sampler", "no-such-sampler")


@pytest.mark.parametrize(
    "source", ["raise SystemExit(3)", "import no_such_module_anywhere", "def broken(:"]
)
def test_a_failing_import_breaks_only_its_plugin(install: Install, source: str) -> None:
    install("emomtl-bad", {"bad_import": source}, {"lucky": "bad_import"})
    with pytest.raises(EmomtlError, match=r"bad_import \(emomtl-bad 1\.0\), does not import"):
        Plugins.discover().offer("sampler", "lucky")


def test_one_name_from_two_distributions_is_an_error(install: Install) -> None:
    install("emomtl-one", {"one_even": even("even")}, {"even": "one_even"})
    install("emomtl-two", {"two_even": even("even")}, {"even": "two_even"})
    with pytest.raises(EmomtlError) as caught:
        Plugins.discover().offer("sampler", "even")
    assert (
        "is offered by one_even (emomtl-one 1.0) and two_even (emomtl-two 1.0) (uninstall one of"
        " them)" in str(caught.value)
    )


def test_another_distribution_cannot_offer_our_names(install: Install) -> None:
    install("emomtl-one", {"one_even": even("annealed")}, {"annealed": "one_even"})
    with pytest.raises(EmomtlError, match="is offered by"):
        Plugins.discover().offer("sampler", "annealed")


TWICE = """
from emomtl import Example, Files, SingleLabel, Task, Taxonomy, hookimpl

def task():
    read = lambda row: Example(row["text"], None)
    return Task("twin", Files("*"), read, Taxonomy(["a", "b"]), head=SingleLabel())

@hookimpl
def emomtl_tasks():
    return [task(), task()]
"""


def test_a_name_offered_twice_disturbs_no_other_name(install: Install) -> None:
    install("emomtl-twins", {"twins": TWICE}, {"twin": "twins"})
    with pytest.raises(
        EmomtlError, match=r"twins \(emomtl-twins 1\.0\): emomtl_tasks offers task 'twin' twice"
    ):
        Plugins.discover().offer("task", "twin")
    plugins = Plugins.discover()
    assert plugins.offer("task", "sst2").name == "sst2"
    with pytest.raises(EmomtlError, match="task 'nothing' is not installed"):
        plugins.offer("task", "nothing")
    assert "offers task 'twin' twice" in plugins.broken["twins (emomtl-twins 1.0)"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "from emomtl import hookimpl\n@hookimpl\ndef emomtl_task():\n    return []\n",
            "did you mean 'emomtl_tasks'",
        ),
        (
            "from emomtl import hookimpl\n@hookimpl\ndef emomtl_started(running):\n    pass\n",
            "running",
        ),
    ],
)
def test_a_misspelt_hook_or_argument_is_an_error(install: Install, source: str, said: str) -> None:
    install("emomtl-typo", {"typo_plugin": source}, {"typo": "typo_plugin"})
    with pytest.raises(EmomtlError) as caught:
        Plugins.discover().offer("task", "typo")
    assert "typo_plugin (emomtl-typo 1.0)" in str(caught.value)
    assert said in str(caught.value)


def test_a_hook_that_raises_is_named(install: Install) -> None:
    source = "from emomtl import hookimpl\n@hookimpl\ndef emomtl_samplers():\n    return 1 / 0\n"
    install("emomtl-raises", {"raising": source}, {"zero": "raising"})
    with pytest.raises(
        EmomtlError,
        match=r"raising \(emomtl-raises 1\.0\): emomtl_samplers raised ZeroDivisionError",
    ):
        Plugins.discover().offer("sampler", "zero")
    assert "annealed" in Plugins.discover().offers("sampler")


def test_a_name_without_entry_point_is_found_and_its_author_told(install: Install) -> None:
    install("emomtl-hidden", {"hidden_even": even("even", "hidden")}, {"even": "hidden_even"})
    plugins = Plugins.discover()
    assert plugins.offer("sampler", "hidden").plugin.distribution == "emomtl-hidden"
    (note,) = plugins.notes
    assert '[project.entry-points.emomtl] hidden = "hidden_even"' in note


def test_a_plugin_is_activated_by_name_and_distribution(install: Install, tmp_path: Path) -> None:
    install("emomtl-even", {"even_plugin": even("even")}, {"even": "even_plugin"})
    plugins = Plugins.discover()
    plugins.offers("sampler")
    assert plugins.active == []
    plugins.offer("sampler", "annealed")
    plugins.activate("Emomtl_Even", tmp_path)
    assert [plugin.distribution for plugin in plugins.active] == ["emomtl", "emomtl-even"]
    record = plugins.active[1].record()
    assert record == {
        "distribution": "emomtl-even",
        "version": "1.0",
        "module": "even_plugin",
        "sha256": hashlib.sha256(even("even").encode()).hexdigest(),
    }


def test_an_unknown_distribution_or_file_in_plugins_is_refused(tmp_path: Path) -> None:
    plugins = Plugins.discover()
    with pytest.raises(
        EmomtlError,
        match=r"no installed distribution 'emomtlx' has emomtl plugins \(did you mean 'emomtl'",
    ):
        plugins.activate("emomtlx", tmp_path)
    with pytest.raises(EmomtlError, match=r"my\.py is not a file"):
        plugins.activate("./my.py", tmp_path)


def test_two_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").write_text(even(folder))
    plugins = Plugins.discover()
    for folder in ("a", "b"):
        plugins.activate(f"./{folder}/my.py", tmp_path)
    assert plugins.offer("sampler", "a").plugin is not plugins.offer("sampler", "b").plugin
    assert len({plugin.module.__name__ for plugin in plugins.active[:2]}) == 2


def test_only_active_plugins_hear_events_and_hear_all_of_them(desk: Any, install: Install) -> None:
    sources = {name: LISTENER.format(reason=None) for name in ("listens_active", "listens_idle")}
    for name, source in sources.items():
        install(name.replace("_", "-"), {name: source}, {name: name})
    run = desk.train(
        desk.manifest(
            plugins=["listens-active"],
            sampler={"per_step": "all"},
            train={"steps": 4},
            checkpoint=None,
        )
    )
    import importlib

    heard = importlib.import_module("listens_active").HEARD
    assert heard == [
        "started",
        ("stepped", 2, ["mood", "topics"]),
        ("evaluated", 3, ["mood", "topics"]),
        ("checkpointed", "step-00000003"),
        ("stepped", 4, ["mood", "topics"]),
        ("evaluated", 4, ["mood", "topics"]),
        ("checkpointed", "step-00000004"),
        ("finished", None),
    ]
    assert "listens_idle" not in sys.modules
    assert "listens_active (listens-active 1.0)" in run.environment["plugins"]


def test_every_reason_to_stop_is_recorded(desk: Any) -> None:
    for name in ("bored", "tired"):
        (desk.folder / f"{name}.py").write_text(LISTENER.format(reason=f"I am {name}"))
    run = desk.train(desk.manifest(plugins=["./bored.py", "./tired.py"], train={"steps": 50}))
    events = list(run.events())
    assert events[-1]["event"] == "finish"
    assert events[-1]["reason"] == "I am bored; I am tired"
    assert events[-1]["step"] == 3
    assert [event["reasons"] for event in events if event["event"] == "evaluation"] == [
        ["I am bored", "I am tired"]
    ]


@pytest.mark.parametrize(
    "event", ["started", "stepped", "evaluated", "checkpointed", "finished", "should_stop"]
)
def test_a_listener_that_raises_ends_the_run(desk: Any, cli: Any, event: str) -> None:
    facts = {
        "stepped": "step, losses",
        "evaluated": "scores",
        "checkpointed": "path",
        "finished": "error",
        "should_stop": "scores",
    }
    arguments = ", ".join(["run", *([facts[event]] if event in facts else [])])
    source = (
        f"from emomtl import hookimpl\n@hookimpl\ndef emomtl_{event}({arguments}):\n    raise"
        " ValueError('boo')\n"
    )
    (desk.folder / "boo.py").write_text(source)
    said = cli(
        "train",
        desk.manifest(plugins=["./boo.py"], train={"steps": 3}),
        "--out",
        desk.folder / "run",
    )
    assert said.code == 1
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert (
        f"raised ValueError in emomtl_{event}: boo (mend the plugin, or take it out of the"
        " manifest)" in errors[0]
    )
    assert "boo.py" in errors[0]


def test_a_failing_listener_does_not_hide_the_first_error(desk: Any, cli: Any) -> None:
    source = (
        "from emomtl import hookimpl\n@hookimpl\ndef emomtl_finished(run, error):\n    raise"
        " ValueError('boo')\n"
    )
    first = "@hookimpl\ndef emomtl_stepped(run, step):\n    raise KeyError('the first reason')\n"
    (desk.folder / "boo.py").write_text(source + first)
    said = cli(
        "train",
        desk.manifest(plugins=["./boo.py"], train={"steps": 3}),
        "--out",
        desk.folder / "run",
    )
    assert said.code == 1
    assert "the first reason" in said.err
    assert "boo" not in said.err.split("the first reason")[1]


def test_a_run_keeps_its_plugin_files_and_opens_without_the_originals(desk: Any, cli: Any) -> None:
    (desk.folder / "mine.py").write_text(even("mine"))
    run = desk.train(
        desk.manifest(plugins=["./mine.py"], sampler={"use": "mine"}, train={"steps": 2})
    )
    (desk.folder / "mine.py").unlink()
    assert (run.folder / "plugins" / "mine.py").read_text() == even("mine")
    assert cli("predict", run.folder, "so happy", "--trust-plugins").code == 0
