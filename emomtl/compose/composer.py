"""Collects problems while a manifest is resolved, and resolves a name with its options."""

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
        """Remember problems, each once.

        `place` is the dotted key for those that come from a layer which does not know it.
        """
        for problem in problems:
            if place is not None and place not in problem.place:
                found = f"{problem.place}: {problem.found}" if problem.place else problem.found
                problem = replace(problem, place=place, found=found)
            if self.draft is not None:
                problem = self.draft.placed(problem)
            if problem not in self.problems:
                self.problems.append(problem)

    def used(self, kind: str, use: Use, place: str) -> Any | None:
        """What `use` names, with its options; None where either is wrong."""
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
