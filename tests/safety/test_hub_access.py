"""A hub that cannot be reached is said at once, and what is in the caches is still found."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from emomtl import EmomtlError, Hub
from emomtl.data.locate import locate
from emomtl.safety import hub_access


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered, no proxy and no word about being offline is in the environment; flags
    come back afterwards.
    """
    import datasets.config
    import huggingface_hub.constants

    for name in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub_access, "_asked", {})
    for module in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://huggingface.co")


def gone(*address: Any, **options: Any) -> Any:
    raise socket.gaierror(-2, "Name or service not known")


def test_a_hub_data_set_that_cannot_be_reached_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", gone)
    began = time.monotonic()
    with pytest.raises(EmomtlError) as caught:
        _ = locate([Hub("nobody-of-this-name/corpus")], None, tmp_path, "mine").splits
    assert time.monotonic() - began < 10
    found = (
        "the hub cannot be reached (huggingface.co: Name or service not known), and there is no"
        " copy of it in the cache"
    )
    assert found in str(caught.value)
    assert 'for a local copy, `source = "FOLDER"`' in str(caught.value)


def test_a_resolver_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_access, "SECONDS", 0.2)

    def slow(*address: Any, **options: Any) -> Any:
        time.sleep(1)
        gone()

    monkeypatch.setattr(socket, "create_connection", slow)
    began = time.monotonic()
    assert hub_access.use_hub() == "huggingface.co: no answer in 0 s"
    assert time.monotonic() - began < 0.9


def test_the_libraries_are_told_and_told_again_when_the_network_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(socket, "create_connection", gone)
    assert hub_access.use_hub().startswith("huggingface.co: ")
    assert (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE) == (
        True,
        True,
    )

    class Connection:
        def close(self) -> None:
            pass

    monkeypatch.setattr(socket, "create_connection", lambda *address, **options: Connection())
    assert hub_access.use_hub().startswith("huggingface.co: ")  # remembered for a minute
    monkeypatch.setattr(hub_access, "_asked", {})
    assert hub_access.use_hub() == ""
    assert (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE) == (
        False,
        False,
    )


def test_who_says_offline_is_not_asked_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(
        socket, "create_connection", lambda *address, **options: pytest.fail("a connection")
    )
    assert hub_access.use_hub() == "HF_HUB_OFFLINE is set"


def test_behind_a_proxy_the_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    asked = []
    monkeypatch.setattr(
        socket, "create_connection", lambda address, **options: asked.append(address) or gone()
    )
    assert hub_access.use_hub() == "proxy.example: Name or service not known"
    assert asked == [("proxy.example", 3128)]


def test_an_encoder_of_a_hub_that_cannot_be_reached_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from emomtl.model.encoder import load_encoder
    from emomtl.model.loaded import EncoderChoice

    monkeypatch.setattr(socket, "create_connection", gone)
    choice = EncoderChoice(
        "nobody-of-this-name/model", "nobody-of-this-name/model", None, "mean", 16
    )
    began = time.monotonic()
    with pytest.raises(EmomtlError, match="the hub cannot be reached"):
        load_encoder(choice, ())
    assert time.monotonic() - began < 10
