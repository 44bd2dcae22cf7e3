"""What many tasks, labels, plugins, steps and rows cost: CPU seconds and peak memory at several
sizes, and how they grow.

    python tests/benchmarks/load.py LOAD [--sizes 2 25 50] [--turns 1] [--json FILE] [--plot FOLDER]

LOAD is one of tasks, labels, single-labels, plugins, steps and rows.

Each load makes its own corpora, of words of ours, in a temporary folder, and runs commands of
emomtl on them with a tiny encoder, every command in a process of its own: its CPU seconds (user and
system) and its peak of resident memory are what the operating system counted for it. `rows` reads
Sentiment140 where EMOMTL_CORPORA names a folder that has it, and a file of words of ours elsewhere;
there memory is what the peak rose above that after the imports.

An exponent is the slope of a line through log(seconds - floor) over log(size), where the floor is
the same command at the least size of the load: 1 is linear in what is added, 2 quadratic. `last` is
the slope of the last two sizes alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import load_folders

WARM = 0.1
"""The part of a run after which its memory should be flat."""


@dataclass(frozen=True)
class Load:
    """How a load's manifest is made for a size, its sizes (the first is the floor), and the
    commands that are timed.
    """

    make: Callable[[Path, Path, int], Path]
    sizes: Sequence[int]
    commands: Mapping[str, Sequence[str]]


OVER_A_RUN = {
    "check": ("check", "MANIFEST"),
    "train": ("train", "MANIFEST", "--out", "RUN"),
    "eval": ("eval", "RUN", "--split", "test"),
    "report": ("report", "RUN"),
    "report --html": ("report", "RUN", "--html", "PAGE"),
}
OVER_PLUGINS = {
    "--help": ("--help",),
    "check, one named": ("check", "MANIFEST"),
    "check, all named": ("check", "ALL"),
    "tasks": ("tasks",),
    "plugins": ("plugins",),
}
LOADS = {
    "tasks": Load(load_folders.of_tasks, (2, 25, 50, 100, 200), OVER_A_RUN),
    "labels": Load(load_folders.of_labels, (8, 250, 500, 1000, 2000), OVER_A_RUN),
    "single-labels": Load(load_folders.of_single_labels, (8, 250, 500, 1000, 2000), OVER_A_RUN),
    "plugins": Load(load_folders.of_plugins, (1, 25, 50, 100), OVER_PLUGINS),
}


@dataclass(frozen=True)
class Spent:
    """What one command cost at one size: CPU seconds, the peak of resident memory, and MB of the
    page that it wrote.
    """

    command: str
    size: int
    seconds: float
    mib: float
    page: float | None = None


@dataclass
class Found:
    """All figures of a load: by command and size, and for `steps` what a listener saw (step, bytes,
    open files).
    """

    load: str
    spent: list[Spent] = field(default_factory=list)
    seen: list[tuple[int, int, int]] = field(default_factory=list)
    of: str = ""

    def course(self, command: str) -> list[Spent]:
        """One command over the sizes."""
        return [one for one in self.spent if one.command == command]

    @property
    def commands(self) -> list[str]:
        """The commands in the order in which they ran."""
        return list(dict.fromkeys(one.command for one in self.spent))


def spent(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU seconds and peak MiB of `emomtl ARGUMENTS` as a child; what it says is shown where it
    fails.
    """
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "emomtl", *arguments],
            env=dict(environment),
            stdout=said,
            stderr=said,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            raise SystemExit(
                f"emomtl {' '.join(arguments)}: exit code"
                f" {child.returncode}\n{said.read().decode()[-4000:]}"
            )
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def grow(name: str, load: Load, sizes: Sequence[int], turns: int, commands: Sequence[str]) -> Found:
    """Every command at every size, medians over turns."""
    found = Found(name)
    for size in sizes:
        times: dict[str, list[tuple[float, float]]] = {}
        pages: dict[str, float] = {}
        for _ in range(turns):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                manifest = load.make(folder, _encoder(folder), size)
                places = {
                    "MANIFEST": str(manifest),
                    "RUN": str(folder / "run"),
                    "PAGE": str(folder / "page.html"),
                    "ALL": str(folder / "all.toml"),
                }
                paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
                environment = _environment(folder) | {"PYTHONPATH": os.pathsep.join(paths)}
                for command, words in load.commands.items():
                    if commands and command not in commands:
                        continue
                    times.setdefault(command, []).append(
                        spent([places.get(word, word) for word in words], environment)
                    )
                    if "PAGE" in words:
                        pages[command] = Path(places["PAGE"]).stat().st_size / 1e6
        for command, took in times.items():
            seconds, mib = (statistics.median(one) for one in zip(*took, strict=True))
            found.spent.append(Spent(command, size, seconds, mib, pages.get(command)))
            print(
                f"  {size} {name}: {command}: {seconds:.2f} s, {mib:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    return found


def course(steps: int) -> Found:
    """One long run, watched from inside by a listener."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        manifest = load_folders.of_steps(folder, _encoder(folder), steps, folder / "seen.txt")
        took = spent(["train", str(manifest), "--out", str(folder / "run")], _environment(folder))
        lines = [
            line.split() for line in (folder / "seen.txt").read_text(encoding="utf-8").splitlines()
        ]
    seen = [
        (int(step), int(size), int(files)) for step, what, size, files in lines if what == "stepped"
    ]
    return Found("steps", [Spent("train", steps, *took)], seen)


def rows(sizes: Sequence[int]) -> Found:
    """First and later starts over many rows of one task."""
    import start

    corpora = os.environ.get("EMOMTL_CORPORA")
    found = Found("rows")
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            os.environ["EMOMTL_CACHE"] = str(folder / "cache")
            manifest, found.of = load_folders.of_rows(
                folder, _encoder(folder), size, Path(corpora) if corpora else None
            )
            for kind in ("first start", "later start"):
                one = start.one(str(folder / "cache"), manifest, [])
                found.spent.append(Spent(kind, int(one["rows"]), one["busy"], one["mib"]))
                print(
                    f"  {one['rows']:,.0f} rows: {kind}: {one['busy']:.2f} s, {one['mib']:.0f} MiB",
                    file=sys.stderr,
                    flush=True,
                )
    return found


def _encoder(folder: Path) -> Path:
    """The tiny encoder, made by a child: a process begins with the peak of memory of the one that
    started it.
    """
    make = (
        "import sys, pathlib, emomtl.testing;"
        " emomtl.testing.tiny_encoder(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", make, folder / "encoder"], check=True)
    return folder / "encoder"


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "EMOMTL_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def exponents(course: Sequence[Spent], floor: float) -> tuple[float, float] | None:
    """The slope over all sizes, and of the last two; None where nothing was added to the floor."""
    points = [
        (math.log(one.size), math.log(one.seconds - floor))
        for one in course
        if one.seconds > floor * 1.02
    ]
    if len(points) < 3:
        return None
    whole = statistics.linear_regression(*zip(*points, strict=True)).slope
    (before, low), (after, high) = points[-2:]
    return whole, (high - low) / (after - before)


def growth(found: Found) -> dict[str, tuple[float, float] | None]:
    """Exponents by command; of `rows`, where no start is empty, nothing is taken off."""
    made = {}
    for command in found.commands:
        first, *rest = found.course(command)
        floored = found.load != "rows"
        made[command] = exponents(
            rest if floored else [first, *rest], first.seconds if floored else 0.0
        )
    return made


def after_warm_up(seen: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    """Bytes a thousand steps and the range of open files, of the part of the run after the warm-up."""
    part = [one for one in seen if one[0] > WARM * seen[-1][0]]
    slope = statistics.linear_regression([one[0] for one in part], [one[1] for one in part]).slope
    files = [one[2] for one in part]
    mib = [one[1] / 2**20 for one in part]
    return {
        "kib_per_1000_steps": slope * 1000 / 1024,
        "least_mib": min(mib),
        "most_mib": max(mib),
        "files": [min(files), max(files)],
    }


def show(found: Found) -> None:
    """Tables in Markdown: seconds and MiB by command and size, and exponents."""
    if found.seen:
        print(
            f"{found.spent[0].size:,} steps: {found.spent[0].seconds:.1f} CPU s, peak"
            f" {found.spent[0].mib:.0f} MiB"
        )
        print(json.dumps(after_warm_up(found.seen)))
        return
    sizes = list(dict.fromkeys(one.size for one in found.spent))
    print(f"| {found.load} | " + " | ".join(f"{size:,}" for size in sizes) + " | exponent (last) |")
    print("| --- " * (len(sizes) + 2) + "|")
    for command, slope in growth(found).items():
        cells = [f"{one.seconds:.1f} s, {one.mib:.0f} MiB" for one in found.course(command)]
        if found.course(command)[0].page is not None:
            cells = [
                f"{cell}, {one.page:.1f} MB"
                for cell, one in zip(cells, found.course(command), strict=True)
            ]
        said = "nothing added" if slope is None else f"{slope[0]:.2f} ({slope[1]:.2f})"
        print(f"| {command} | " + " | ".join(cells) + f" | {said} |")


def draw(found: Found, folder: Path) -> None:
    """A picture of two panels: seconds and memory over the size, or memory and open files over the
    steps.
    """
    from matplotlib.figure import Figure

    from emomtl.report.drawing import COLOURS, drawing

    with drawing(**{"font.size": 9, "lines.linewidth": 1.3}):
        figure = Figure(figsize=(8, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        if found.seen:
            steps, sizes, files = zip(*found.seen, strict=True)
            left.plot(steps, [size / 2**20 for size in sizes], color=COLOURS[0])
            right.plot(steps, files, color=COLOURS[0])
            left.set_ylabel("resident memory, MiB")
            right.set_ylabel("open files")
            left.set_ylim(bottom=0)
            right.set_ylim(bottom=0)
        for place, command in enumerate(() if found.seen else found.commands):
            points = found.course(command)
            look: dict[str, Any] = {
                "color": COLOURS[place],
                "marker": "o",
                "markersize": 3,
                "label": command,
            }
            left.plot([one.size for one in points], [one.seconds for one in points], **look)
            right.plot([one.size for one in points], [one.mib for one in points], **look)
            left.set_ylabel("CPU seconds")
            right.set_ylabel("peak memory, MiB")
        for axes in (left, right):
            axes.set_xlabel(found.load.replace("-", " "))
            axes.set_ylim(bottom=0)
        if not found.seen:
            left.legend()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"load-{found.load}.png", dpi=90)


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("load", choices=[*LOADS, "steps", "rows"])
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        help="sizes of the load, the first is the floor; of `steps` the first only",
    )
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--commands", nargs="+", default=[], help="only these, in their order")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    if given.load == "steps":
        found = course((given.sizes or [10_000])[0])
    elif given.load == "rows":
        found = rows(given.sizes or (100_000, 400_000, 1_600_000))
    else:
        load = LOADS[given.load]
        found = grow(given.load, load, given.sizes or load.sizes, given.turns, given.commands)
    show(found)
    if given.json is not None:
        about = after_warm_up(found.seen) if found.seen else growth(found)
        given.json.write_text(
            json.dumps({**asdict(found), "growth": about}, indent=1) + "\n", encoding="utf-8"
        )
    if given.plot is not None:
        draw(found, given.plot)


if __name__ == "__main__":
    main()
