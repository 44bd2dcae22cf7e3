"""What the tests of the checks share: asking a check what it finds wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emomtl import EmomtlError


@pytest.fixture(scope="session")
def found() -> Callable[..., str]:
    """A function that runs a check on something broken and returns its message; the test fails
    where nothing is found.
    """

    def message(check: Callable[..., Any], *arguments: Any, **options: Any) -> str:
        with pytest.raises(EmomtlError) as caught:
            check(*arguments, **options)
        return str(caught.value)

    return message


@pytest.fixture(scope="session")
def complaint() -> Callable[..., str]:
    """A function that runs a check on something good and returns what it complains about: nothing,
    ``""``.
    """

    def message(check: Callable[..., Any], *arguments: Any, **options: Any) -> str:
        try:
            check(*arguments, **options)
        except EmomtlError as error:
            return str(error)
        return ""

    return message
