"""Five verdicts on what is claimed of a difference, and the one rule that gives them, for studies
and for claims.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["supported", "contradicted", "equivalent", "inconclusive", "untested"]

VERDICTS: tuple[Verdict, ...] = (
    "supported",
    "contradicted",
    "equivalent",
    "inconclusive",
    "untested",
)
"""In the order in which they are counted."""

Claimed = Literal["more", "less", "same"]
"""What a claim says of a difference."""


class Judgement(NamedTuple):
    """A verdict, and why it is that one."""

    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} ({self.reason})" if self.reason else self.verdict


def weigh(
    low: float,
    high: float,
    *,
    expects: Claimed = "more",
    least: float = 0.0,
    margin: float = 0.0,
    clear: bool = True,
) -> Judgement:
    """What an interval from `low` to `high` says of the claim that the difference is `expects`, by
    at least `least`.

    A difference within plus and minus `margin` counts as none: "the same" is then supported, and
    "more" and "less" are neither supported nor contradicted but `equivalent`. With a margin of 0
    that is so for equal predictions alone. `clear` is False where a correction for many comparisons
    leaves open whether the difference is zero; then the interval's place beside zero decides
    nothing. What is neither shown nor excluded is `inconclusive`.
    """
    is_inside = -margin <= low and high <= margin
    if expects == "same":
        return _same(low, high, margin, is_inside, clear)
    if expects == "less":
        low, high = -high, -low
    if is_inside:
        return Judgement("equivalent", f"within {margin:g}")
    if clear and low > 0 and low >= least:
        return Judgement("supported", "as claimed")
    if clear and high < 0:
        return Judgement("contradicted", "the other way round")
    if least > 0 and high < least:
        return Judgement("contradicted", "smaller than claimed")
    if low <= 0 <= high:
        return Judgement("inconclusive", f"may be 0 or {least:g}" if least else "may be 0")
    if not clear:
        return Judgement("inconclusive", "not clear after correction")
    return Judgement("inconclusive", f"may be less than {least:g}")


def _same(low: float, high: float, margin: float, is_inside: bool, clear: bool) -> Judgement:
    """The claim that there is no difference beyond the margin."""
    if is_inside:
        return Judgement("supported", f"within {margin:g}")
    if clear and (low > margin or high < -margin):
        return Judgement("contradicted", f"differs by more than {margin:g}")
    return Judgement("inconclusive", f"may be more than {margin:g}")
