"""What the value of a label column means: one rule for every file format, in every run.

A number is one value however a file writes it: the integer 3, the float 3.0 (pandas writes it where
a column has gaps) and the text "3". Where a value could mean two things, `AmbiguousLabel` names
both and the option that chooses; nothing is guessed from the other rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from emomtl.contracts.label_text import clean_label
from emomtl.contracts.label_values import (
    CHOICES,
    INTEGER,
    LIST_LIKE,
    NULLS,
    NUMBERS_JOINED,
    as_written,
    is_number,
    list_item,
    mean_shares,
    parsed_list,
    refuse_number_lists,
    share_of,
    was_odd,
)
from emomtl.errors import AmbiguousLabel, EmomtlError, quoted

LabelFormat = Literal["names", "indices", "multi-hot", "one-hot-columns", "distribution"]
EmptyMeans = Literal["none", "unknown", "error"]

EMPTY_ASSUMED = "row(s) with an empty label cell, which means unknown (`options.empty` says otherwise)"
EMPTY_UNKNOWN = "row(s) with an empty label cell: unknown, as `options.empty` says"
EMPTY_NONE = "row(s) with an empty label cell: none of the labels, as `options.empty` says"
MISSING_CODE = "row(s) with a value of `options.missing`, which has no label"
EMPTY_LIST = "row(s) with an empty list: none of the labels"
NUMBERS_AS_NAMES = "row(s) whose labels are numbers, read as names"
TRIMMED = "row(s) whose label was trimmed of invisible characters or composed (NFC)"
VOTES_AS_SHARES = "row(s) with votes, read as shares of their sum"
NO_MAJORITY = "item(s) without a majority: those who labelled them tie"
HALF = "item(s) with a label that half of the people gave, which is no majority"
UNCLEAR = "row(s) that their rater found unclear (`options.unclear`): no label of theirs counts"
GAVE_NONE = "item(s) for which somebody gave none of the labels: a single label takes no vote from them"
GAVE_SEVERAL = "item(s) for which somebody gave several labels: each has a part of one vote"
NOBODY = "item(s) that nobody gave a label"

ReadLabel = tuple[Any, tuple[str, ...]]
"""A label value as `Example` takes it, and what was assumed, as `Example.notes` takes it."""


@dataclass(frozen=True)
class LabelReader:
    """The rule by which a label cell is read, for heads that answer with labels.

    `labels` are those that the user listed (None: they are learned), `names` maps values to labels,
    `missing` lists the values that mean "no label", and `empty` says what these and empty cells
    mean. `exclusive` is true where a text has exactly one label, and `raters` how many people voted
    on a row.
    """

    labels: tuple[str, ...] | None = None
    format: LabelFormat | None = None
    separator: str = "|"
    empty: EmptyMeans | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str | int | float, ...] = ()
    fold_case: bool = False
    exclusive: bool = True
    raters: int | None = None

    def read(self, cell: Any) -> ReadLabel:
        """A cell of one label column: a name, several, names with shares, or None for unknown."""
        if isinstance(cell, Mapping):
            return self._table(cell)
        if isinstance(cell, (list, tuple)):
            return self._list([list_item(value) for value in cell])
        text = as_written(cell)
        if text is None or not text:
            return self.nothing()
        if self._key(text) in self._missing:
            return self.nothing(coded=True)
        trimmed = (TRIMMED,) if isinstance(cell, str) and was_odd(cell, text) else ()
        value, notes = self._text(text if not isinstance(cell, str) else cell)
        return value, trimmed + notes

    def read_columns(self, cells: Mapping[str, Any]) -> ReadLabel:
        """The cells of one row, where each label has a column: 0 or 1, votes, or probabilities."""
        values = {self._named(column): self._share(column, cell) for column, cell in cells.items()}
        if all(value is None for value in values.values()):
            return self.nothing()
        if self.format == "distribution":
            return self._shares(values)
        certain = all(value in (0.0, 1.0) for value in values.values())
        if certain:
            return [name for name, value in values.items() if value], ()
        if self.exclusive and all(value is not None for value in values.values()):
            found = "the columns hold votes or probabilities, and the head takes one label a row"
            raise EmomtlError(found, remedy='`label_format = "distribution"` reads them as shares of one label')
        return values, ()

    @cached_property
    def _missing(self) -> frozenset[str]:
        return frozenset(self._key(text) for value in self.missing if (text := as_written(value)))

    @cached_property
    def _names(self) -> dict[str, str]:
        return {self._key(as_written(value) or ""): name for value, name in self.names.items()}

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {self._key(label): label for label in self.labels or ()}

    def _key(self, text: str) -> str:
        return text.casefold() if self.fold_case else text

    def nothing(self, coded: bool = False) -> ReadLabel:
        """An empty cell, or (`coded`) a value of `missing`: unknown where nothing else is said."""
        if self.empty == "error" and not coded:
            raise EmomtlError(
                "the label cell is empty",
                remedy='`options.empty = "unknown"` or "none" lets it pass',
            )
        if self.empty == "none":
            return [], (MISSING_CODE if coded else EMPTY_NONE,)
        if coded:
            return None, (MISSING_CODE,)
        return None, (EMPTY_ASSUMED if self.empty is None else EMPTY_UNKNOWN,)

    @staticmethod
    def unclear(cell: Any) -> ReadLabel | None:
        """No label where a cell says that the rater found the row unclear; None where it says no, or nothing."""
        text = (as_written(cell) or "false").casefold()
        if text not in ("true", "false", "0", "1"):
            raise EmomtlError(
                f"the column that says what is unclear holds {quoted(cell)}",
                remedy="true or false, 1 or 0, or nothing",
            )
        return (None, (UNCLEAR,)) if text in ("true", "1") else None

    def is_missing(self, cell: Any) -> bool:
        """Whether a cell is one of the values that `missing` lists."""
        return isinstance(cell, (str, int, float, Decimal)) and self._key(as_written(cell) or "") in self._missing

    @staticmethod
    def spelled(value: Any) -> str:
        """A value as the text by which labels are told apart, empty where there is none."""
        return as_written(value) or ""

    def combine(self, values: Sequence[Any], how: Literal["majority", "any", "mean"]) -> ReadLabel:
        """What several people said of one item, as one label; those who said nothing do not count.

        `majority` takes what more than half of them gave (one label a text: what most of them gave,
        and no label where several tie), `any` each label that somebody gave, `mean` its share. Where a text
        has one label, who gave none of them has no vote, and for `mean` each has one, whatever they gave.
        """
        voted = [value for value in values if value is not None]
        notes: tuple[str, ...] = ()
        if self.exclusive:
            given = [value for value in voted if (any(value.values()) if isinstance(value, Mapping) else value)]
            notes += (GAVE_NONE,) if len(given) < len(voted) else ()
            several = [value for value in given if isinstance(value, (list, tuple)) and len(value) > 1]
            notes += (GAVE_SEVERAL,) if several and how == "mean" else ()
            voted = given
        if not voted:
            return None, (*notes, NOBODY)
        shares = mean_shares(voted, self.labels, one_vote=self.exclusive and how == "mean")
        if how == "mean":
            return shares, notes
        if how == "any":
            return [name for name, share in shares.items() if share], notes
        if not self.exclusive:
            ties = (HALF,) if any(share == 0.5 for share in shares.values()) else ()
            return [name for name, share in shares.items() if share and share > 0.5], ties
        most = max(share or 0.0 for share in shares.values())
        first = [name for name, share in shares.items() if share == most]
        return (first[0], notes) if len(first) == 1 else (None, (*notes, NO_MAJORITY))

    def _text(self, text: str) -> ReadLabel:
        """A cell that is no list and no table, as text."""
        whole = clean_label(text)
        if whole == "[]":
            return [], (EMPTY_LIST,)
        is_known = self._key(whole) in self._names or whole in self._spellings
        bits = whole[0] in "01" and self.separator in whole  # cut at the separator first
        if LIST_LIKE.fullmatch(whole) and not bits and not is_known:
            if self.format is None:
                raise AmbiguousLabel(
                    "a cell that looks like a list could be one name or several values",
                    CHOICES,
                    whole,
                )
            parsed = parsed_list(whole)
            return self._table(parsed) if isinstance(parsed, Mapping) else self._list(parsed)
        joined = NUMBERS_JOINED.fullmatch(whole) and self.separator not in whole
        if joined and self.format is None and not is_known:
            remedy = "`options.separator` is what stands between labels; "
            remedy += '`options.label_format = "names"` takes it as one'
            raise AmbiguousLabel("numbers in a row could be several labels, or one name", remedy, whole)
        if joined and self.format not in (None, "names"):
            return self._list(parsed_list(whole))
        parts = [part for piece in text.split(self.separator) if (part := as_written(piece))]
        if not parts:
            return self.nothing()
        if len(parts) == 1 and self.format in (None, "names", "indices", "one-hot-columns"):
            name = self._name(parts[0])
            return name, (NUMBERS_AS_NAMES,) if name == parts[0] and is_number(name) else ()
        return self._list(parts)

    def _list(self, values: Sequence[str]) -> ReadLabel:
        """A list of names, positions, zeros and ones, or shares, as `format` says."""
        if not values and self.format in (None, "names", "indices"):
            return [], (EMPTY_LIST,)
        if len(values) == 1 and self._key(values[0]) in self._missing:
            return self.nothing(coded=True)
        coded = [value for value in values if self._key(value) in self._missing]
        if coded:
            raise EmomtlError(
                f"{quoted(coded[0])}, which means no label, stands beside labels",
                remedy="leave one of them",
            )
        if self.format == "multi-hot":
            return self._multi_hot(values), ()
        if self.format == "distribution":
            known = self._of_length(values)
            return self._shares({name: share_of(name, value) for name, value in zip(known, values, strict=True)})
        are_codes = len(set(values)) == len(values) and all(self._key(value) in self._names for value in values)
        if self.format is None and not are_codes:
            refuse_number_lists(values)
        names = [self._name(value) for value in values]
        read_as_names = any(is_number(name) and name == value for name, value in zip(names, values, strict=True))
        return names, (NUMBERS_AS_NAMES,) if read_as_names else ()

    def _multi_hot(self, values: Sequence[str]) -> list[str]:
        """The labels at which a list of zeros and ones has a one."""
        known = self._of_length(values)
        binary = {"0": False, "1": True, "false": False, "true": True}
        wrong = [value for value in values if value not in binary]
        if wrong:
            raise EmomtlError(
                f"a multi-hot list holds {quoted(wrong[0])}",
                remedy="zeros and ones, one for each label",
            )
        return [name for name, value in zip(known, values, strict=True) if binary[value]]

    def _of_length(self, values: Sequence[str]) -> tuple[str, ...]:
        """The labels that a list has one value each for."""
        if self.labels is None or len(values) != len(self.labels):
            count = len(self.labels or ())
            raise EmomtlError(
                f"a list of {len(values)} for {count} labels",
                remedy="one value for each of `options.labels`",
            )
        return self.labels

    def _table(self, values: Mapping[Any, Any]) -> ReadLabel:
        """A table of names with values in 0..1; None where a label is unknown."""
        named = {self._named(as_written(key) or ""): value for key, value in values.items()}
        if len(named) < len(values):
            raise EmomtlError("two names of a table mean one label", remedy="give each label once")
        shares = {name: share_of(name, value) for name, value in named.items()}
        if all(value is None for value in shares.values()):
            return self.nothing()
        return self._shares(shares) if self.exclusive else (self._votes(shares), ())

    def _shares(self, values: Mapping[str, float | None]) -> ReadLabel:
        """Values by label as shares: votes of a row are divided by their sum, or by `raters`."""
        total = math.fsum(value for value in values.values() if value is not None)
        if not self.exclusive or self.raters is not None:
            return self._votes(values), ()
        whole = all(value is None or value.is_integer() for value in values.values())
        if whole and total > 1:
            return {name: value / total for name, value in values.items() if value is not None}, (VOTES_AS_SHARES,)
        return dict(values), ()

    def _votes(self, values: Mapping[str, float | None]) -> dict[str, float | None]:
        """Each value as it is, or as a share of the people who voted."""
        if self.raters is None:
            return dict(values)
        return {name: None if value is None else value / self.raters for name, value in values.items()}

    def _share(self, column: str, cell: Any) -> float | None:
        """One cell of a label's own column."""
        text = as_written(cell)
        if not text or self._key(text) in self._missing or text in NULLS:
            return None
        value = share_of(column, text)
        assert value is not None
        if value > 1 and self.raters is None and self.format != "distribution":
            remedy = "`options.raters` says how many people voted; "
            remedy += 'one label a row: `label_format = "distribution"`'
            raise EmomtlError(f"column '{column}' holds {quoted(cell)}, more than one vote", remedy=remedy)
        return value if self.raters is None or self.format == "distribution" else value / self.raters

    def _named(self, value: str) -> str:
        """The label of a column, or of a key in a table."""
        return self._names.get(self._key(value)) or self._name(value)

    def _name(self, value: str) -> str:
        """The label that one value means; the taxonomy refuses a name that it lacks."""
        named = self._names.get(self._key(value))
        if named is not None:
            return named
        if self.format == "indices":
            return self._at(value)
        if is_number(value) and self.format is None:
            return self._number(value)
        known = value in self._spellings
        if value in NULLS and self.format is None and not known:
            remedy = f'`options.missing = ["{value}"]`, or `options.label_format = "names"`'
            raise AmbiguousLabel("it could be a missing value, or a label of that name", remedy, value)
        if self.fold_case:
            return self._spellings.get(self._key(value), self._key(value))
        return value

    def _number(self, value: str) -> str:
        """A number where no format is said: a name, and refused where it could be a position."""
        if self.labels is None:
            if value.startswith("-"):
                remedy = f'`options.missing = [{value}]`, or `options.label_format = "names"`'
                raise AmbiguousLabel("a negative number could be a code for no label, or a label", remedy, value)
            if not INTEGER.fullmatch(value):
                remedy = '`head = { use = "regression" }`, or `options.label_format = "names"`'
                raise AmbiguousLabel("a fraction could be an amount, or the name of a label", remedy, value)
            return value
        is_name = value in self.labels
        at = self.labels[int(value)] if INTEGER.fullmatch(value) and 0 <= int(value) < len(self.labels) else None
        if at == value or (is_name and at is None):
            return value
        if is_name:
            remedy = '`options.label_format = "names"` or "indices"'
            raise AmbiguousLabel(
                "a number could be a name of `options.labels`, or a position in that list",
                remedy,
                value,
            )
        if at is not None:
            remedy = '`options.label_format = "indices"`, or `options.label_names = { "0" = NAME, ... }`'
            raise AmbiguousLabel(
                "a number could be a position in `options.labels`, or a code of its own",
                remedy,
                value,
            )
        if not value.startswith("-") and INTEGER.fullmatch(value):
            return value  # an unknown label, which the taxonomy refuses as it does any other
        remedy = "`options.missing` lists values that mean no label, "
        remedy += "`options.label_names` names the others"
        raise EmomtlError(f"the number {value} is none of the labels", remedy=remedy)

    def _at(self, value: str) -> str:
        """The label at a position."""
        labels = self.labels or ()
        if not INTEGER.fullmatch(value) or not 0 <= int(value) < len(labels):
            raise EmomtlError(
                f"position {quoted(value)} is outside 0..{len(labels) - 1}",
                remedy="`options.missing` lists codes",
            )
        return labels[int(value)]
