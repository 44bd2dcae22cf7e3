"""The phases of a run, which its loop names and a profile times."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emomtl.train.draw import Drawing

_NOTHING: AbstractContextManager[None] = nullcontext()


class Phases:
    """What the loop tells about where it is: `with phases("forward"): ...`. This one, of every ordinary run, times nothing."""

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """The context of a phase."""
        return _NOTHING

    def saw(self, drawing: Drawing) -> None:
        """A step was taken on these rows."""
