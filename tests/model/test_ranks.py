"""One process trains a run; a launcher that starts several is told so."""

from __future__ import annotations

import pytest

from emomtl.errors import EmomtlError
from emomtl.model.device import refuse_ranks


def test_several_ranks_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EmomtlError, match=r"WORLD_SIZE: a launcher started 2 processes.*without torchrun"):
        refuse_ranks()


@pytest.mark.parametrize("world", ["", "1", None])
def test_one_process_is_fine(world: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world is not None:
        monkeypatch.setenv("WORLD_SIZE", world)
    refuse_ranks()
