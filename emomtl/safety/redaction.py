"""Tokens, keys and passwords: recognised by format or key, and masked in text that is shown."""

from __future__ import annotations

import functools
import os
import re

MASK = "[secret]"

SHAPES = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|github_pat_\w{20,}|gh[pousr]_[A-Za-z0-9]{20,}|glpat-[\w-]{16,}"  # GitHub, GitLab
    r"|sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}"  # OpenAI and others
    r"|xox[abeoprs]-[\w-]{10,}"  # Slack
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}"  # AWS, Google
    r"|(?:pypi|dckr_pat)[-_][\w-]{20,}"  # PyPI, Docker
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{8,}\.[\w-]*"  # a JSON Web Token
    r")"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # a name and a password in a URL
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\w\s+/=\\]*"
)
"""Secrets by their issuers' formats, whatever key they stand under."""

VARIABLE = re.compile(
    r"(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY)$", re.IGNORECASE
)
"""Names of environment variables that hold secrets: HF_TOKEN, MLFLOW_TRACKING_PASSWORD."""

KEY = re.compile(
    r"(?:(?:api|access|auth|bearer|hf|hub|tracking)_?)?token|(?:client_?)?secret|password|passwd"
    r"|(?:api|access|secret|private)_?key",
    re.IGNORECASE,
)
"""Keys of a manifest that hold secrets; `pad_token` and its like do not match."""

SHORTEST, SHORTEST_WORD = 8, 20
"""Least characters of a secret, and of one that is letters alone: a shorter one may be any word."""


def is_secret(value: str, key: str = "") -> bool:
    """Whether a value is a secret by its format, or by the key under which it stands."""
    if SHAPES.search(value):
        return True
    has_secret_key = KEY.fullmatch(key.replace("-", "_")) is not None
    return has_secret_key and len(value) >= SHORTEST and not re.search(r"\s", value)


def masked(text: str) -> str:
    """The text with `[secret]` in place of everything that looks like one, or that the environment
    holds.
    """
    for value in _secrets_of_environment():
        text = text.replace(value, MASK)
    return SHAPES.sub(MASK, text)


def _secrets_of_environment() -> list[str]:
    """The values of secret variables, longest first: one may contain another."""
    secrets = set()
    for name in os.environ:
        if _is_secret_variable(name):
            value = os.environ.get(name, "").strip()
            if len(value) >= (SHORTEST_WORD if value.isalpha() else SHORTEST):
                secrets.add(value)
    return sorted(secrets, key=len, reverse=True)


@functools.cache  # asked for every text that is shown, about few names
def _is_secret_variable(variable: str) -> bool:
    return VARIABLE.search(variable) is not None
