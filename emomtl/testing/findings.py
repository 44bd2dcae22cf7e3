"""What a check found: problems are gathered and raised together, and a stranger's exception becomes one of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest import options_of, read_options


class Findings:
    """The problems of one plugin's thing; `subject` is how they name it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.problems: list[Problem] = []

    def add(self, found: str, remedy: str = "", place: str = "") -> None:
        """Remember a problem once."""
        problem = Problem(f"{self.subject}: {place}" if place else self.subject, found, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def expect(self, holds: bool, found: str, remedy: str = "") -> bool:
        """Remember a problem where something does not hold; the answer is whether it does."""
        if not holds:
            self.add(found, remedy)
        return holds

    @contextlib.contextmanager
    def trying(self, what: str, place: str = "") -> Iterator[None]:
        """Run code of the plugin; whatever it raises is a problem that says what was tried."""
        try:
            yield
        except EmomtlError as error:
            for problem in error.problems:
                said = ": ".join(part for part in (what, problem.place, problem.found) if part)
                self.add(said, problem.remedy, place)
        except Exception as error:  # a stranger's code may raise anything
            self.add(f"{what} raised {type(error).__name__}: {clean(str(error), 200)}", place=place)

    def options(self, value: Any) -> None:
        """The options of a dataclass must come back as they were when a manifest is written and read."""
        if not self.expect(
            dataclasses.is_dataclass(value), f"{type(value).__name__} is no dataclass", "put @dataclass(frozen=True) above it"
        ):
            return
        with self.trying("writing its options into a manifest and reading them back"):
            given = options_of(value)
            again, problems = read_options(type(value), given, "")
            for problem in problems:
                self.add(f"its own options do not read back: {problem}", "give each field a type that TOML can say")
            self.expect(
                bool(problems) or again == value,
                f"its options read back as {again!r}, not as {value!r}",
                "let every field be an option, and leave __post_init__ to checks",
            )

    def done(self) -> None:
        """Raise one `EmomtlError` with everything that was found."""
        if self.problems:
            raise EmomtlError(*self.problems)
