"""Rank correlation of affinity with the measured gains of auxiliaries."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomtl.analyses.affinity.summary import Auxiliary
from emomtl.errors import EmomtlError, Problem, clean, quoted, suggest
from emomtl.safety.untrusted import loads

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 10
"""Below so many auxiliaries a rank correlation says little, whatever its size."""

MOST_BYTES, MOST_PROBLEMS = 1_000_000, 20
"""Bytes of a file of gains, and problems that are said of one."""

EXACT = 10_000
"""Permutations that are all tried (up to seven auxiliaries); with more, so many are drawn."""


def read_gains(path: Path) -> dict[str, float]:
    """Gains of the target by auxiliary: JSON `{"sst2": 0.8}`, or a CSV file with the columns
    `auxiliary` and `gain`.

    A gain is the target's score trained with the auxiliary minus that without, in any one unit.
    """
    from emomtl.safety.files import read_bytes

    place = str(path)
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8")
        rows = _json_rows(loads(text)) if path.suffix.lower() == ".json" else _csv_rows(text)
    except (OSError, ValueError, csv.Error) as error:
        raise EmomtlError(
            Problem(place, f"cannot be read: {clean(str(error))}", "a JSON or CSV file")
        ) from error
    gains: dict[str, float] = {}
    problems = []
    for name, value in rows:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            problems.append(
                Problem(
                    place, f"the gain of '{clean(str(name))}' is {quoted(value)}", "a finite number"
                )
            )
        elif str(name) in gains:
            problems.append(
                Problem(
                    place,
                    f"'{clean(str(name))}' stands twice",
                    "one gain an auxiliary, the mean over seeds",
                )
            )
        gains[str(name)] = number
        if len(problems) == MOST_PROBLEMS:
            break
    if not rows:
        problems.append(
            Problem(
                place,
                "holds no gains",
                'JSON {"sst2": 0.8}, or CSV with the columns auxiliary,gain',
            )
        )
    if problems:
        raise EmomtlError(*problems)
    return gains


def _json_rows(data: Any) -> list[tuple[Any, Any]]:
    return list(data.items()) if isinstance(data, dict) else []


def _csv_rows(text: str) -> list[tuple[Any, Any]]:
    rows = list(csv.DictReader(text.splitlines()))
    return (
        [(row["auxiliary"], row["gain"]) for row in rows]
        if rows and {"auxiliary", "gain"} <= set(rows[0])
        else []
    )


def correlate(
    auxiliaries: Sequence[Auxiliary], gains: Mapping[str, float], seed: int = 0
) -> dict[str, Any]:
    """Spearman's rho of look-ahead gain and of cosine with the measured gains, each with the
    p-value of a permutation test.

    The test is two-sided over all pairings, or over 10,000 drawn ones where there are more.
    `least_p` is the smallest p that so few auxiliaries can have at all; `warning` says so in words.
    EmomtlError where fewer than three have a gain, or where a gain is named that was not measured.
    """
    known = [one for one in auxiliaries if one.task in gains]
    strange = sorted(set(gains) - {one.task for one in auxiliaries})
    if strange:
        raise EmomtlError(
            Problem(
                "--gains",
                f"'{clean(strange[0])}' is no auxiliary here",
                suggest(strange[0], _names(auxiliaries)),
            )
        )
    if len(known) < 3:
        raise EmomtlError(
            Problem(
                "--gains",
                f"{len(known)} auxiliaries have a gain",
                "a rank correlation needs three at least",
            )
        )
    least = 2 / math.factorial(len(known))
    measured = [gains[one.task] for one in known]
    warning = f"{len(known)} auxiliaries: "
    warning += (
        f"no order of so few can reach a p below {least:.2g}"
        if least > 0.05
        else "too few to trust a rank correlation"
    )
    return {
        "n": len(known),
        "auxiliaries": [one.task for one in known],
        "lookahead": _spearman([one.lookahead.mean for one in known], measured, seed),
        "cosine": _spearman([one.cosine.mean for one in known], measured, seed),
        "least_p": least,
        "warning": warning if len(known) < FEW else None,
    }


def _names(auxiliaries: Sequence[Auxiliary]) -> list[str]:
    return [one.task for one in auxiliaries]


def _spearman(
    values: Sequence[float | None], gains: Sequence[float], seed: int
) -> dict[str, float | None]:
    """rho and p; None where a value is undefined or all are alike."""
    from scipy.stats import permutation_test, rankdata

    if any(value is None for value in values) or len(set(values)) == 1 or len(set(gains)) == 1:
        return {"rho": None, "p": None}
    one, other = rankdata(np.array(values, dtype=float)), rankdata(gains)

    def rho(ranks: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Pearson's r of ranks along an axis."""
        centred, fixed = ranks - ranks.mean(axis=axis, keepdims=True), other - other.mean()
        return np.asarray(
            (centred * fixed).sum(axis=axis)
            / np.sqrt((centred**2).sum(axis=axis) * (fixed**2).sum())
        )

    test = permutation_test(
        (one,), rho, permutation_type="pairings", vectorized=True, n_resamples=EXACT, rng=seed
    )
    return {"rho": float(test.statistic), "p": float(test.pvalue)}
