"""Other people's code in a run: only what is named is imported, nothing is replaced, and each
listener is on the clock.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError
from emomtl.plugins import events
from emomtl.plugins.discovery import Plugins

Install = Callable[..., None]
CANARY = """
from pathlib import Path
with Path({told!r}).open("a") as file:
    file.write("imported\\n")
from emomtl import hookimpl

@hookimpl
def emomtl_started(run):
    with Path({told!r}).open("a") as file:
        file.write("told\\n")
"""
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
import time
from emomtl import hookimpl

@hookimpl
def emomtl_stepped(run, step):
    time.sleep({sleep})

@hookimpl
def emomtl_finished(run):
    pass
"""


def even(*names: str) -> str:
    return SAMPLER.replace("{names}", "{" + ", ".join(f"{name!r}: Even" for name in names) + "}")


# -- what is imported


def test_no_command_on_runs_imports_a_plugin_that_nothing_names(
    desk: Any, cli: Any, install: Install, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    install(
        "emomtl-canary",
        {"canary_plugin": CANARY.format(told=str(told))},
        {"canary": "canary_plugin"},
    )
    path, run = desk.manifest(train={"steps": 2}, eval={"every": 2}), desk.folder / "run"
    for command in (
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("check", path),
        ("train", path, "--out", run),
    ):
        assert cli(*command).code == 0
    rest = [
        ("eval", run),
        ("report", run),
        ("predict", run, "so happy"),
        ("data", "audit", path, "--no-noise"),
        ("cache", "list"),
    ]
    for command in (
        *rest,
        ("tasks", "table"),
        ("lexicon", "baseline", path, "--out", desk.folder / "baselines"),
    ):
        assert cli(*command).code == 0
    assert not told.exists()
    assert cli("plugins").code == 0  # which shows what each one offers, and so has to ask
    assert told.read_text() == "imported\n"
    desk.train(desk.manifest(plugins=["emomtl-canary"], train={"steps": 2}), "named")
    assert told.read_text() == "imported\ntold\n"


def test_a_run_records_its_active_plugins(desk: Any, install: Install) -> None:
    sources = {
        "even_plugin": even("even"),
        "listens": LISTENER.format(sleep=0),
        "idle": even("idle"),
    }
    for module, source in sources.items():
        install(
            f"emomtl-{module}",
            {module: source},
            {"even" if module == "even_plugin" else module: module},
            "2.5",
        )
    (desk.folder / "mine.py").write_text(even("mine"), encoding="utf-8")
    manifest = desk.manifest(
        plugins=["emomtl-listens", "./mine.py"], sampler={"use": "even"}, train={"steps": 2}
    )
    found = {
        record["module"]: record for record in desk.train(manifest).environment["plugins"].values()
    }
    for module in ("even_plugin", "listens"):
        assert found[module]["distribution"] == f"emomtl-{module}"
        assert found[module]["version"] == "2.5"
        assert found[module]["sha256"] == hashlib.sha256(sources[module].encode()).hexdigest()
    own = next(record for module, record in found.items() if module.endswith("_mine"))
    assert own["sha256"] == hashlib.sha256(even("mine").encode()).hexdigest()
    assert {record["distribution"] for record in found.values()} == {
        "emomtl",
        "emomtl-even_plugin",
        "emomtl-listens",
        "",
    }


# -- offers


@pytest.mark.parametrize("first", ["emomtl-one", "emomtl-two"])
def test_an_active_plugin_cannot_offer_a_second_thing(
    install: Install, tmp_path: Path, first: str
) -> None:
    install(
        "emomtl-one", {"one_even": even("even", "first")}, {"even": "one_even", "first": "one_even"}
    )
    install("emomtl-two", {"two_even": even("even", "second")}, {"second": "two_even"})
    found = Plugins.discover()
    both = (
        r"sampler 'even'.*: is offered by one_even \(emomtl-one 1\.0\) and two_even \(emomtl-two"
        r" 1\.0\)"
    )
    if first == "emomtl-one":
        found.offer("sampler", "even")
        with pytest.raises(EmomtlError, match=both):
            found.activate("emomtl-two", tmp_path)
    else:
        found.offer("sampler", "second")
        with pytest.raises(EmomtlError, match=both):
            found.offer("sampler", "even")
    # in a run without the other
    assert found.for_another_run().offer("sampler", "even").plugin.distribution == "emomtl-one"


def test_a_distribution_cannot_claim_another_s_module_as_its_own(install: Install) -> None:
    install("emomtl-claims", {"unrelated": ""}, {"annealed": "emomtl_plugins.samplers.annealed"})
    with pytest.raises(
        EmomtlError, match=r"is offered by .*\(emomtl .*\) and .*\(emomtl-claims 1\.0\)"
    ):
        Plugins.discover().offer("sampler", "annealed")


def test_lists_of_what_is_installed_say_which_names_clash(install: Install, cli: Any) -> None:
    install("emomtl-one", {"one_even": even("even")}, {"even": "one_even"})
    install("emomtl-two", {"two_even": even("even")}, {"even": "two_even"})
    said = cli("plugins")
    assert said.code == 0
    assert (
        said.err.count(
            "sampler 'even': is offered by one_even (emomtl-one 1.0) and two_even (emomtl-two 1.0)"
        )
        == 1
    )


# -- the clock


def test_events_are_timed_in_log_and_profile(desk: Any, cli: Any) -> None:
    for name, sleep in (("quick", 0), ("sleepy", 0.02)):
        (desk.folder / f"{name}.py").write_text(LISTENER.format(sleep=sleep), encoding="utf-8")
    manifest = desk.manifest(
        plugins=["./quick.py", "./sleepy.py"], train={"steps": 6, "log_every": 2}
    )
    said = cli("train", manifest, "--out", desk.folder / "run", "--profile")
    assert said.code == 0, said.err
    found = json.loads((desk.folder / "run" / "profile.json").read_text())["listeners"]
    assert [(Path(one["plugin"]).name, one["event"], one["calls"]) for one in found] == [
        *[(name, "emomtl_stepped", 3) for name in ("quick.py", "sleepy.py")],
        *[(name, "emomtl_finished", 1) for name in ("quick.py", "sleepy.py")],
    ]
    assert found[1]["seconds"] >= 3 * 0.02
    assert found[1]["seconds"] / 3 <= found[1]["slowest"] <= found[1]["seconds"]
    log = (desk.folder / "run" / "log.txt").read_text()
    assert f"listener {desk.folder / 'sleepy.py'} in emomtl_stepped: 3 calls, 0." in log
    assert "listeners; their seconds are in the phases above" in said.err
    assert "slow listener" not in said.err


def test_a_slow_listener_is_said_once_with_its_name_and_events(
    desk: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(events, "SLOW_SHARE", 0.0)
    for name, sleep in (("quick", 0), ("sleepy", 0.25)):
        (desk.folder / f"{name}.py").write_text(LISTENER.format(sleep=sleep), encoding="utf-8")
    manifest = desk.manifest(
        plugins=["./quick.py", "./sleepy.py"], train={"steps": 6, "log_every": 2}
    )
    said = cli("train", manifest, "--out", desk.folder / "run")
    lines = [line for line in said.err.splitlines() if "slow listener" in line]
    assert len(lines) == 1
    assert f"plugin {desk.folder / 'sleepy.py'} has taken 0." in lines[0]
    assert "(emomtl_stepped 1 times, 0." in lines[0]
    assert (desk.folder / "run" / "log.txt").read_text().count("slow listener") == 1


def test_the_time_of_an_ending_listener_is_reported(desk: Any, cli: Any) -> None:
    source = (
        "from emomtl import hookimpl\n@hookimpl\ndef emomtl_stepped(run):\n    raise"
        " ValueError('boo')\n"
    )
    (desk.folder / "boo.py").write_text(source, encoding="utf-8")
    said = cli("train", desk.manifest(plugins=["./boo.py"]), "--out", desk.folder / "run")
    assert (
        said.code,
        f"plugin {desk.folder / 'boo.py'}: raised ValueError in emomtl_stepped: boo" in said.err,
    ) == (1, True)
    assert "boo.py in emomtl_stepped: 1 call, " in (desk.folder / "run" / "log.txt").read_text()


def test_plugins_that_nothing_names_are_not_imported(install: Install) -> None:
    for number in range(100):
        install(
            f"emomtl-n{number}",
            {f"n{number}": f"raise SystemExit({number})"},
            {f"n{number}": f"n{number}"},
        )
    found = Plugins.discover()
    for _ in range(50):
        found.offer("sampler", "annealed")
    assert not [name for name in sys.modules if name[0] == "n" and name[1:].isdigit()]
    for _ in range(5):
        assert "annealed" in found.offers("sampler")
    assert len(found.broken) == 100
