"""One label made of what several people said of one item."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

NO_MAJORITY = "item(s) without a majority: those who labelled them tie"
HALF = "item(s) with a label that half of the people gave, which is no majority"
GAVE_NONE = (
    "item(s) for which somebody gave none of the labels: a single label takes no vote from them"
)
GAVE_SEVERAL = "item(s) for which somebody gave several labels: each has a part of one vote"
NOBODY = "item(s) that nobody gave a label"

Shares = dict[str, float | None]
"""By label the share of people who gave it, 0..1; None where nobody said anything of it."""


def combine(
    values: Sequence[Any],
    how: Literal["majority", "any", "mean"],
    labels: tuple[str, ...] | None,
    exclusive: bool,
) -> tuple[Any, tuple[str, ...]]:
    """The label of an item, and notes on how it came about; `LabelReader.combine` documents it."""
    votes = [value for value in values if value is not None]
    notes: tuple[str, ...] = ()
    if exclusive:
        all_votes, votes = votes, [value for value in votes if _names_a_label(value)]
        if len(votes) < len(all_votes):
            notes += (GAVE_NONE,)
        if how == "mean" and any(_names_several(value) for value in votes):
            notes += (GAVE_SEVERAL,)
    if not votes:
        return None, (*notes, NOBODY)
    shares = mean_shares(votes, labels, one_vote=exclusive and how == "mean")
    if how == "mean":
        return shares, notes
    if how == "any":
        return [label for label, share in shares.items() if share], notes
    if not exclusive:
        if any(share == 0.5 for share in shares.values()):
            notes += (HALF,)
        return [label for label, share in shares.items() if share and share > 0.5], notes
    most = max(share or 0.0 for share in shares.values())
    winners = [label for label, share in shares.items() if share == most]
    return (winners[0], notes) if len(winners) == 1 else (None, (*notes, NO_MAJORITY))


def mean_shares(
    votes: Sequence[Any], labels: tuple[str, ...] | None, one_vote: bool = False
) -> Shares:
    """The mean share of each label over people.

    With `one_vote`, somebody who names several labels gives each of them a part of one vote.
    """
    shares_by_person = [_as_shares(vote, one_vote) for vote in votes]
    if labels is None:
        labels = tuple(dict.fromkeys(label for shares in shares_by_person for label in shares))
    means: Shares = {}
    for label in labels:
        known = []
        for vote, shares in zip(votes, shares_by_person, strict=True):
            # Who names labels says of all others that they do not hold. Who gives a table says
            # something only of the labels in it.
            share = shares.get(label, None if isinstance(vote, Mapping) else 0.0)
            if share is not None:
                known.append(share)
        means[label] = math.fsum(known) / len(known) if known else None
    return means


def _as_shares(vote: Any, one_vote: bool) -> Shares:
    """One person's vote as shares: 1 for each label that it names, or all of them together 1."""
    if isinstance(vote, Mapping):
        return dict(vote)
    names = [vote] if isinstance(vote, str) else list(vote)
    share = 1 / len(names) if one_vote and names else 1.0
    return dict.fromkeys(names, share)


def _names_a_label(vote: Any) -> bool:
    return any(vote.values()) if isinstance(vote, Mapping) else bool(vote)


def _names_several(vote: Any) -> bool:
    return isinstance(vote, (list, tuple)) and len(vote) > 1
