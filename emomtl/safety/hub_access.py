"""Whether the Hugging Face hub can be reached: its libraries are told at once, instead of trying again for half a minute."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 4.0
"""How long the hub may take to accept a connection."""

REMEMBERED = 60.0
"""Seconds after which it is asked again: a notebook outlives a lost network."""

_asked: dict[tuple[str, int], tuple[float, str]] = {}


def use_hub() -> str:
    """Tell `huggingface_hub` and `datasets`, as far as they are imported, whether the hub is there; why not, else "".

    Offline they look into their caches alone. Where the environment says that they are offline, nothing is asked or changed.
    """
    if any(os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        return "HF_HUB_OFFLINE is set"
    constants = sys.modules.get("huggingface_hub.constants")
    host, port = _address(str(getattr(constants, "ENDPOINT", "https://huggingface.co")))
    reason = _unreachable(host, port)
    for module in (constants, sys.modules.get("datasets.config")):
        if module is not None:
            module.HF_HUB_OFFLINE = bool(reason)  # type: ignore[attr-defined]  # what both look at before a request
    return reason


def _address(endpoint: str) -> tuple[str, int]:
    """The host and port that a request to the hub connects to: its own, or the proxy's."""
    url = urlsplit(endpoint)
    proxy = getproxies().get(url.scheme or "https")
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = url.port
    except ValueError:  # a proxy that is no address: the libraries say what is wrong with it
        port = None
    return url.hostname or "", port or (443 if url.scheme == "https" else 80)


def _unreachable(host: str, port: int) -> str:
    """Why nothing can be reached at an address; "" where it accepts a connection. Remembered for a while."""
    now = time.monotonic()
    then, reason = _asked.get((host, port), (-REMEMBERED, ""))
    if now - then < REMEMBERED:
        return reason
    found: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=SECONDS).close()
            found.append("")
        except (OSError, UnicodeError) as error:
            found.append(f"{host}: {getattr(error, 'strerror', None) or error}")

    thread = threading.Thread(target=connect, daemon=True)  # the look-up of a name has no timeout of its own
    thread.start()
    thread.join(SECONDS)
    reason = found[0] if found else f"{host}: no answer in {SECONDS:.0f} s"
    _asked[host, port] = (now, reason)
    return reason
