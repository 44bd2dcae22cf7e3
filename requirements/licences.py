"""The licence of every installed package that emomtl or an extra of it needs; fails on one that is
not allowed here.

`python requirements/licences.py` prints a line for each. It reads what the packages say of
themselves, nothing else.
"""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent

ALLOWED = {
    *(
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
    ),
    *("CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
}
"""By their SPDX names; `BSD` where a package does not say which of them."""

SPELT = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What classifiers and older fields say, in small letters, by SPDX names."""

SOLVER = "a solver of TorchJD, only with the extra `torchjd` or `dev`; emomtl does not import it"
CUDA = "comes with a CUDA build of torch, under NVIDIA's own terms"
EXCEPTED = {
    "ecos": SOLVER,
    "qpsolvers": SOLVER,
    "quadprog": SOLVER,
    "nvidia-*": CUDA,
    "cuda-*": CUDA,
}
"""Packages whose licence is not allowed, by the reason why they are there all the same."""


def main() -> int:
    """Print the listing; 1 where a licence is neither allowed nor excepted."""
    wrong = []
    for one in installed([*declared(), *(f"emomtl[{extra}]" for extra in extras())]):
        said = licence(one)
        why = "" if allowed(said) else excepted(one.name)
        print(f"{one.name} {one.version}: {said}{f' ({why})' if why else ''}")
        if why is None:
            wrong.append(f"{one.name} {one.version}: {said}")
    if wrong:
        print(
            f"not allowed, and no exception in requirements/licences.py: {'; '.join(wrong)}",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def extras() -> dict[str, list[str]]:
    """The requirements of each extra."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


def declared() -> list[str]:
    """The requirements without extras."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: list[str] = project["dependencies"]
    return found


def installed(requirements: Sequence[str]) -> Iterator[Distribution]:
    """The installed packages that these need, and those that they need, by name; what is not
    installed is left out.
    """
    found: dict[str, Distribution] = {}
    done: set[tuple[str, str]] = set()
    left = [Requirement(line) for line in requirements]
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name == "emomtl":  # read from the file, as the installed one may be another
            left += [Requirement(line) for extra in one.extras for line in extras()[extra]]
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for extra in {"", *one.extras}:
            if (name, extra) not in done:
                done.add((name, extra))
                needs = map(Requirement, found[name].requires or ())
                left += [
                    need
                    for need in needs
                    if need.marker is None or need.marker.evaluate({"extra": extra})
                ]
    yield from (found[name] for name in sorted(found))


def licence(one: Distribution) -> str:
    """What a package says of its licence, by SPDX names where we know them: expression,
    classifiers, or the first line.
    """
    about = one.metadata
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    said = [
        line.rpartition("::")[2].strip()
        for line in about.get_all("Classifier") or ()
        if line.startswith("License ::")
    ]
    names = [SPELT[name.lower()] for name in said if name.lower() in SPELT] or said
    if names:
        return " AND ".join(names)
    first = next(
        (line.strip() for line in str(about.get("License") or "").splitlines() if line.strip()),
        "unknown",
    )
    return SPELT.get(first.lower(), first)


def allowed(said: str) -> bool:
    """Whether every part of an expression is allowed; of parts with OR between them, one."""
    parts = re.sub(r"[()]", " ", said).split(" AND ")
    return all(
        any(" ".join(one.split()) in ALLOWED for one in part.split(" OR ")) for part in parts
    )


def excepted(name: str) -> str | None:
    """Why a package is there although its licence is not allowed; None where no reason is known."""
    return next(
        (
            why
            for pattern, why in EXCEPTED.items()
            if fnmatch.fnmatch(canonicalize_name(name), pattern)
        ),
        None,
    )


if __name__ == "__main__":
    raise SystemExit(main())
