"""Asks pip-audit for known holes in every locked package, then lists the licences; fails where
either finds something.

`python requirements/audit.py` needs pip-audit (the extra `audit`) and its service of advisories.
Where the service is not reached, or does not know a package, the command fails: what was not
audited is never passed.
"""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LISTS = ("locked.txt", "audit.txt", "torch.txt")
NOT_AUDITED = 2


def main(arguments: list[str]) -> int:
    """The worse of both exit codes; `arguments` go to pip-audit, such as `--vulnerability-service
    osv`.
    """
    holes = audit(arguments)
    licences = int(runpy.run_path(str(HERE / "licences.py"))["main"]())
    print(
        f"holes: {'none known' if holes == 0 else 'see above'}; licences:"
        f" {'allowed' if licences == 0 else 'see above'}"
    )
    return max(holes, licences)


def audit(arguments: list[str]) -> int:
    """0 where every package was audited and none has a known hole, 1 for holes, 2 where something
    was not audited.
    """
    tool = shutil.which("pip-audit", path=sysconfig.get_path("scripts")) or shutil.which(
        "pip-audit"
    )
    if tool is None:
        return _not_audited(
            'there is no pip-audit here: pip install -c constraints.txt -e ".[audit]"'
        )
    lists = [part for name in LISTS for part in ("--requirement", str(HERE / name))]
    options = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json")
    done = subprocess.run(
        [tool, *options, *lists, *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _not_audited(
            f"pip-audit gave no answer (exit code {done.returncode}); was its service reached?"
        )
    return judged(found)


def judged(found: list[Mapping[str, Any]]) -> int:
    """The exit code of what pip-audit answered for each package: `name` with `version` and `vulns`,
    or with `skip_reason`.
    """
    for one in found:
        for hole in one.get("vulns", ()):
            fixed = ", ".join(hole.get("fix_versions", ())) or "no version yet"
            print(f"hole: {one['name']} {one['version']}: {hole['id']}, mended in {fixed}")
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if skipped or not found:
        few = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        return _not_audited(
            f"{len(skipped)} of {len(found)} packages were not audited ({few}): the service does"
            " not know them"
        )
    return 1 if any(one.get("vulns") for one in found) else 0


def _not_audited(why: str) -> int:
    print(f"not audited: {why}", file=sys.stderr)
    return NOT_AUDITED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
