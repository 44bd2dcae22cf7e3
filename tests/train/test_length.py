"""Epochs are whole passes for what goes by them, however a number of updates divides into passes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from emomtl.errors import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.train.length import Length


@pytest.mark.parametrize(
    ("epochs", "whole"),
    [(0.28, 1), (1.0, 1), (1.9999, 2), (2.0, 2), (2.0006, 2), (2.7, 2), (4.003, 4)],
)
def test_a_run_has_as_many_epochs_as_whole_passes(epochs: float, whole: int) -> None:
    length = Length(100, epochs)
    assert length.passes == whole
    assert [length.passed(0.0), length.passed(1.0)] == [0, whole - 1]


def test_two_thousandths_of_a_pass_more_than_two_anneal_over_two_epochs() -> None:
    """2,714 updates of 32 of 43,410 rows: alpha is 1 in the first pass and 0.2 in the second, and
    never 0.6.
    """
    train: Any = SimpleNamespace(target="goemotions", target_updates=2714)
    length = Length.of(train, {"goemotions": 43_410}, {"goemotions": 32}, joint=False)
    assert length.epochs == pytest.approx(2.0006, abs=1e-4)
    offered: Any = Plugins.discover().offer("sampler", "annealed").value
    moments: list[Any] = [
        SimpleNamespace(epoch=length.passed(done), epochs=length.passes, progress=done)
        for done in (0.0, 0.49, 0.51, 1.0)
    ]
    assert [offered(by="epoch").alpha(moment) for moment in moments] == pytest.approx(
        [1.0, 1.0, 0.2, 0.2]
    )


def test_a_run_under_one_pass_is_refused_before_it_has_a_folder(desk: Any) -> None:
    manifest = desk.manifest(
        sampler={"use": "annealed", "by": "epoch", "per_step": "one"}, train={"steps": 1}
    )
    with pytest.raises(EmomtlError, match="passes long"):
        desk.begin(manifest, "short")
    assert not (desk.folder / "short").exists()
