"""The collector of problems while a manifest is resolved, and how one name with its options is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.errors import EmomtlError, Problem
from emomtl.manifest import Draft, Use, read_options

if TYPE_CHECKING:
    from emomtl.plugins.discovery import Plugins


class Composer:
    """Collects every problem while it resolves; each gets the line of its place in the manifest."""

    def __init__(self, plugins: Plugins, folder: Path, draft: Draft | None) -> None:
        self.plugins, self.folder, self.draft = plugins, folder, draft
        self.problems: list[Problem] = []

    def add(self, *problems: Problem, place: str | None = None) -> None:
        """Remember problems; `place` is the dotted key for those that come from a layer which does not know it."""
        for problem in problems:
            found = problem
            if place is not None and place not in problem.place:
                found = replace(problem, place=place, found=": ".join(part for part in (problem.place, problem.found) if part))
            if self.draft is not None:
                found = self.draft.placed(found)
            if found not in self.problems:
                self.problems.append(found)

    def used(self, kind: str, use: Use, place: str) -> Any | None:
        """What `use` names, with its options checked."""
        try:
            offer = self.plugins.offer(kind, use.use)
        except EmomtlError as error:
            self.add(*error.problems, place=f"{place}.use")
            return None
        return self.options(offer.value, use.options, place)

    def options(self, cls: type, options: Mapping[str, Any], place: str) -> Any | None:
        """An object of a dataclass with these options, or None where they are wrong."""
        value, problems = read_options(cls, options, place)
        self.add(*problems)
        return value
