"""The problems that a check finds: they are gathered, and raised together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.manifest import options_of, read_options


class Findings:
    """The problems of one object of a plugin; `subject` is how they name it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.problems: list[Problem] = []

    def add(self, problem: str, remedy: str = "", place: str = "") -> None:
        """Add a problem, once."""
        where = f"{self.subject}: {place}" if place else self.subject
        if Problem(where, problem, remedy) not in self.problems:
            self.problems.append(Problem(where, problem, remedy))

    def expect(self, holds: bool, problem: str, remedy: str = "") -> bool:
        """Add a problem unless something holds, and return whether it does."""
        if not holds:
            self.add(problem, remedy)
        return holds

    @contextlib.contextmanager
    def trying(self, what: str, place: str = "") -> Iterator[None]:
        """Run code of the plugin; whatever it raises is a problem that says what was tried."""
        try:
            yield
        except EmomtlError as error:
            for raised in error.problems:
                parts = [part for part in (what, raised.place, raised.found) if part]
                self.add(": ".join(parts), raised.remedy, place)
        except Exception as error:  # a stranger's code may raise anything
            self.add(f"{what} raised {type(error).__name__}: {clean(str(error), 200)}", place=place)

    def options(self, value: Any) -> None:
        """Check that options are the same after they were written to a manifest and read back."""
        if not dataclasses.is_dataclass(value):
            problem = f"{type(value).__name__} is no dataclass"
            self.add(problem, "put @dataclass(frozen=True) above it")
            return
        with self.trying("writing its options into a manifest and reading them back"):
            again, problems = read_options(type(value), options_of(value), "")
            for fault in problems:
                remedy = "give each field a type that TOML can say"
                self.add(f"its own options do not read back: {fault}", remedy)
            if not problems:
                remedy = "let every field be an option, and leave __post_init__ to checks"
                differ = f"its options read back as {again!r}, not as {value!r}"
                self.expect(again == value, differ, remedy)

    def done(self) -> None:
        """Raise one `EmomtlError` with all problems, if there are any."""
        if self.problems:
            raise EmomtlError(*self.problems)
