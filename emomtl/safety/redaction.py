"""Tokens and keys, which belong into the environment: what looks like one, and text from which they are taken."""

from __future__ import annotations

import functools
import os
import re

MASK = "[secret]"

SHAPES = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|github_pat_\w{20,}|gh[pousr]_[A-Za-z0-9]{20,}|glpat-[\w-]{16,}"
    r"|sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}"
    r"|xox[abeoprs]-[\w-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}"
    r"|(?:pypi|dckr_pat)[-_][\w-]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{8,}\.[\w-]*"  # a JSON Web Token
    r")"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # a name and a password in an address
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\w\s+/=\\]*"
)
"""Values that are secrets whatever they are called: the forms that their issuers give them, so that a scanner can tell."""

VARIABLE = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY)$", re.IGNORECASE)
"""Names of environment variables whose values are secrets: HF_TOKEN, WANDB_API_KEY, MLFLOW_TRACKING_PASSWORD."""

KEY = re.compile(
    r"(?:(?:api|access|auth|bearer|hf|hub|tracking)_?)?token|(?:client_?)?secret|password|passwd|(?:api|access|secret|private)_?key",
    re.IGNORECASE,
)
"""Keys of a manifest whose values are secrets where they are long enough; `pad_token` and its like are none."""

SHORTEST, SHORTEST_WORD = 8, 20
"""Characters of a value that may be a secret, and of one that is letters alone, which may be any word."""


def is_secret(value: str, key: str = "") -> bool:
    """Whether a value is a secret by its shape, or by the key under which it stands."""
    if SHAPES.search(value):
        return True
    return bool(KEY.fullmatch(key.replace("-", "_"))) and len(value) >= SHORTEST and not re.search(r"\s", value)


def masked(text: str) -> str:
    """The text with `[secret]` in place of what has the shape of one, and of the environment's own."""
    for value in _held():
        text = text.replace(value, MASK)
    return SHAPES.sub(MASK, text)


def _held() -> list[str]:
    """The secrets of this environment, longest first, so that one inside another leaves nothing behind."""
    found = {os.environ.get(name, "").strip() for name in os.environ if _names_one(name)}
    return sorted((v for v in found if len(v) >= (SHORTEST_WORD if v.isalpha() else SHORTEST)), key=len, reverse=True)


@functools.cache
def _names_one(variable: str) -> bool:
    """Whether a variable's value is a secret: asked for every text that is shown, of few names."""
    return VARIABLE.search(variable) is not None
