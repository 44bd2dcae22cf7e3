"""Writes the locked requirements, with the SHA-256 of every file that may be installed, from
pyproject.toml and constraints.txt.

Needs uv (the extra `audit`) and a package index; run it after a change of either file: `python
requirements/lock.py`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import tomli

HERE = Path(__file__).parent
ROOT = HERE.parent
COMPILE = (
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--generate-hashes",
    "--no-header",
    "--no-emit-index-url",
)
BY_BUILD = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
"""torch and the CUDA packages that some of its builds bring: which files are right hangs on the
machine.
"""

HEAD = """\
# Written by requirements/lock.py; do not edit. For: pip install --no-deps --require-hashes -r {file}
# {what}
"""
LOCKED = """\
Everything that emomtl and all of its extras but `audit` need, with SHA-256 of every file, and without torch and the CUDA
# packages that some of its builds bring: there are builds of one version for the CPU and for each CUDA, with other hashes, on
# other indexes, and which one is right hangs on the machine. torch.txt pins its version alone; install it after this file."""
TOOLS = (
    "The tools that check the supply chain (the extra `audit`), for an environment of their own."
)


def main() -> int:
    """Write both files; the exit code of uv where it fails."""
    uv = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    if uv is None:
        print('no uv here: pip install -c constraints.txt -e ".[audit]"', file=sys.stderr)
        return 1
    extras = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    tools = "\n".join(extras.pop("audit"))
    chosen = [part for extra in sorted(extras) for part in ("--extra", extra)]
    locked = compiled(uv, ["pyproject.toml", *chosen])
    kept = [block for block in re.split(r"\n(?=[\w])", locked) if not BY_BUILD.match(block)]
    write("locked.txt", LOCKED, "\n".join(block.rstrip("\n") for block in kept) + "\n")
    write(
        "audit.txt",
        TOOLS,
        compiled(uv, ["-", "--python-version", "3.11", "--no-emit-package", "pip"], tools),
    )
    return 0


def compiled(uv: str, arguments: list[str], given: str | None = None) -> str:
    """What uv resolves, within constraints.txt; ends the program where it cannot."""
    command = [uv, *COMPILE, "--constraint", "constraints.txt", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def write(name: str, what: str, text: str) -> None:
    """One file, with its head."""
    head = HEAD.format(file=f"requirements/{name}", what=what)
    (HERE / name).write_text(head + text, encoding="utf-8")
    packages = re.findall(r"^\w.*==", text, re.MULTILINE)
    print(f"wrote requirements/{name}: {len(packages)} packages")


if __name__ == "__main__":
    raise SystemExit(main())
