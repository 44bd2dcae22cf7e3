"""Whether the Hugging Face hub can be reached: its libraries retry for half a minute."""

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
"""Seconds after which the hub is asked again: a notebook outlives a lost network."""

_asked: dict[tuple[str, int], tuple[float, str]] = {}
"""(time, reason) by (host, port)."""


def use_hub() -> str:
    """Put `huggingface_hub` and `datasets` offline where the hub cannot be reached, else online.

    Returns why it cannot be reached, or "". Offline the two look into their caches alone. Modules
    that are not imported yet are left alone; HF_HUB_OFFLINE in the environment decides by itself.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "TRUE", "YES", "ON"):
            return "HF_HUB_OFFLINE is set"
    constants = sys.modules.get("huggingface_hub.constants")
    host, port = _address(str(getattr(constants, "ENDPOINT", "https://huggingface.co")))
    reason = _unreachable(host, port)
    for module in (constants, sys.modules.get("datasets.config")):
        if module is not None:
            # both modules read this flag before each request
            module.HF_HUB_OFFLINE = bool(reason)  # type: ignore[attr-defined]
    return reason


def _address(endpoint: str) -> tuple[str, int]:
    """The host and port that a request to the hub connects to: its own, or the proxy's."""
    url = urlsplit(endpoint)
    proxy = getproxies().get(url.scheme or "https")
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = url.port
    except ValueError:  # a malformed proxy: the libraries name what is wrong with it
        port = None
    return url.hostname or "", port or (443 if url.scheme == "https" else 80)


def _unreachable(host: str, port: int) -> str:
    """Why nothing can be reached at an address, remembered for a while; "" where it answers."""
    now = time.monotonic()
    then, reason = _asked.get((host, port), (-REMEMBERED, ""))
    if now - then < REMEMBERED:
        return reason
    reasons: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=SECONDS).close()
            reasons.append("")
        except (OSError, UnicodeError) as error:
            reasons.append(f"{host}: {getattr(error, 'strerror', None) or error}")

    # in a thread, since the look-up of a name has no timeout of its own
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS)
    reason = reasons[0] if reasons else f"{host}: no answer in {SECONDS:.0f} s"
    _asked[host, port] = (now, reason)
    return reason
