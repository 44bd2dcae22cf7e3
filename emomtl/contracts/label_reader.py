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

from emomtl.contracts import label_votes
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
    parsed_list,
    refuse_number_lists,
    share_of,
    was_odd,
)
from emomtl.errors import AmbiguousLabel, EmomtlError, quoted

LabelFormat = Literal["names", "indices", "multi-hot", "one-hot-columns", "distribution"]
EmptyMeans = Literal["none", "unknown", "error"]

EMPTY_ASSUMED = (
    "row(s) with an empty label cell, which means unknown (`options.empty` says otherwise)"
)
EMPTY_UNKNOWN = "row(s) with an empty label cell: unknown, as `options.empty` says"
EMPTY_NONE = "row(s) with an empty label cell: none of the labels, as `options.empty` says"
MISSING_CODE = "row(s) with a value of `options.missing`, which has no label"
EMPTY_LIST = "row(s) with an empty list: none of the labels"
NUMBERS_AS_NAMES = "row(s) whose labels are numbers, read as names"
TRIMMED = "row(s) whose label was trimmed of invisible characters or composed (NFC)"
VOTES_AS_SHARES = "row(s) with votes, read as shares of their sum"
UNCLEAR = "row(s) that their rater found unclear (`options.unclear`): no label of theirs counts"

ReadLabel = tuple[Any, tuple[str, ...]]
"""A label value as `Example` takes it, and what was assumed, as `Example.notes` takes it."""


@dataclass(frozen=True)
class LabelReader:
    """The rule by which a label cell is read, for heads that answer with labels.

    `labels` are those that the user listed (None: they are learned), `names` maps values to labels,
    `missing` lists the values that mean "no label", and `empty` says what these and empty cells
    mean. `exclusive` is true where a text has exactly one label, and `raters` is how many people
    voted on a row.
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

    # -- cells -------------------------------------------------------------------------------------

    def read(self, cell: Any) -> ReadLabel:
        """A cell of one label column: a name, several, names with shares, or None for unknown."""
        if isinstance(cell, Mapping):
            return self._table(cell)
        if isinstance(cell, (list, tuple)):
            return self._list([list_item(value) for value in cell])
        text = as_written(cell)
        if text is None:
            return self.nothing()
        if self._key(text) in self._missing_keys:
            return self.nothing(coded=True)
        if not isinstance(cell, str):
            return self._text(text)
        value, notes = self._text(cell)
        return value, (TRIMMED, *notes) if was_odd(cell, text) else notes

    def read_columns(self, cells: Mapping[str, Any]) -> ReadLabel:
        """The cells of one row, where each label has a column: 0 or 1, votes, or probabilities."""
        shares = {}
        for column, cell in cells.items():
            shares[self._label_of_key(column)] = self._column_share(column, cell)
        known = [share for share in shares.values() if share is not None]
        if not known:
            return self.nothing()
        if self.format == "distribution":
            return self._shares(shares)
        all_known = len(known) == len(shares)
        if all_known and all(share in (0.0, 1.0) for share in known):
            return [label for label, share in shares.items() if share], ()
        if self.exclusive and all_known:
            problem = "the columns hold votes or probabilities, and the head takes one label a row"
            remedy = '`label_format = "distribution"` reads them as shares of one label'
            raise EmomtlError(problem, remedy=remedy)
        return shares, ()

    def nothing(self, coded: bool = False) -> ReadLabel:
        """What an empty cell means, or (`coded`) a value of `missing`: unknown by default."""
        if self.empty == "error" and not coded:
            remedy = '`options.empty = "unknown"` or "none" lets it pass'
            raise EmomtlError("the label cell is empty", remedy=remedy)
        if self.empty == "none":
            return [], (MISSING_CODE if coded else EMPTY_NONE,)
        if coded:
            return None, (MISSING_CODE,)
        return None, (EMPTY_ASSUMED if self.empty is None else EMPTY_UNKNOWN,)

    @staticmethod
    def unclear(cell: Any) -> ReadLabel | None:
        """No label where a cell says that the rater found the row unclear, otherwise None."""
        text = (as_written(cell) or "false").casefold()
        if text not in ("true", "false", "0", "1"):
            problem = f"the column that says what is unclear holds {quoted(cell)}"
            raise EmomtlError(problem, remedy="true or false, 1 or 0, or nothing")
        return (None, (UNCLEAR,)) if text in ("true", "1") else None

    def is_missing(self, cell: Any) -> bool:
        """Whether a cell is one of the values that `missing` lists."""
        if not isinstance(cell, (str, int, float, Decimal)):
            return False
        return self._key(as_written(cell) or "") in self._missing_keys

    @staticmethod
    def spelled(value: Any) -> str:
        """A value as the text by which labels are told apart, empty where there is none."""
        return as_written(value) or ""

    def combine(self, values: Sequence[Any], how: Literal["majority", "any", "mean"]) -> ReadLabel:
        """What several people said of one item, as one label; those who said nothing do not count.

        `majority` takes what more than half of them gave (with one label a text: what most of them
        gave, and no label where several tie), `any` each label that somebody gave, and `mean` the
        share of each. Where a text has one label, somebody who gave none has no vote, and for
        `mean` everybody has one vote, however many labels they gave.
        """
        return label_votes.combine(values, how, self.labels, self.exclusive)

    # -- texts, lists and tables -------------------------------------------------------------------

    def _text(self, cell: str) -> ReadLabel:
        """A cell of text: one label, several with separators between them, or a written list."""
        text = clean_label(cell)
        if text == "[]":
            return [], (EMPTY_LIST,)
        is_known = self._key(text) in self._label_by_key or text in self._label_by_spelling
        has_separator = self.separator in text
        # zeros and ones with the separator between them are cut there, like any labels
        bits = has_separator and text[0] in "01"
        if LIST_LIKE.fullmatch(text) and not bits and not is_known:
            if self.format is None:
                problem = "a cell that looks like a list could be one name or several values"
                raise AmbiguousLabel(problem, CHOICES, text)
            parsed = parsed_list(text)
            return self._table(parsed) if isinstance(parsed, Mapping) else self._list(parsed)
        if NUMBERS_JOINED.fullmatch(text) and not has_separator:
            if self.format is None and not is_known:
                problem = "numbers in a row could be several labels, or one name"
                remedy = "`options.separator` is what stands between labels; "
                remedy += '`options.label_format = "names"` takes it as one'
                raise AmbiguousLabel(problem, remedy, text)
            if self.format not in (None, "names"):
                parsed = parsed_list(text)
                assert not isinstance(parsed, Mapping)
                return self._list(parsed)
        pieces = [as_written(piece) for piece in cell.split(self.separator)]
        parts = [piece for piece in pieces if piece]
        if not parts:
            return self.nothing()
        if len(parts) == 1 and self.format not in ("multi-hot", "distribution"):
            name = self._label_of(parts[0])
            return name, (NUMBERS_AS_NAMES,) if name == parts[0] and is_number(name) else ()
        return self._list(parts)

    def _list(self, values: Sequence[str]) -> ReadLabel:
        """A list of names, positions, zeros and ones, or shares, as `format` says."""
        if not values and self.format in (None, "names", "indices"):
            return [], (EMPTY_LIST,)
        missing_codes = [value for value in values if self._key(value) in self._missing_keys]
        if missing_codes and len(values) == 1:
            return self.nothing(coded=True)
        if missing_codes:
            problem = f"{quoted(missing_codes[0])}, which means no label, stands beside labels"
            raise EmomtlError(problem, remedy="leave one of them")
        if self.format == "multi-hot":
            return self._multi_hot(values), ()
        if self.format == "distribution":
            shares = {}
            for label, value in zip(self._one_value_each(values), values, strict=True):
                shares[label] = share_of(label, value)
            return self._shares(shares)
        are_codes = all(self._key(value) in self._label_by_key for value in values)
        if self.format is None and not (are_codes and len(set(values)) == len(values)):
            refuse_number_lists(values)
        labels = [self._label_of(value) for value in values]
        pairs = zip(labels, values, strict=True)
        numbers = any(is_number(label) and label == value for label, value in pairs)
        return labels, (NUMBERS_AS_NAMES,) if numbers else ()

    def _multi_hot(self, values: Sequence[str]) -> list[str]:
        """The labels at which a list of zeros and ones has a one."""
        labels = self._one_value_each(values)
        wrong = [value for value in values if value not in ("0", "1", "false", "true")]
        if wrong:
            problem = f"a multi-hot list holds {quoted(wrong[0])}"
            raise EmomtlError(problem, remedy="zeros and ones, one for each label")
        pairs = zip(labels, values, strict=True)
        return [label for label, value in pairs if value in ("1", "true")]

    def _one_value_each(self, values: Sequence[str]) -> tuple[str, ...]:
        """The labels, where a list has one value for each of them."""
        if self.labels is None or len(values) != len(self.labels):
            problem = f"a list of {len(values)} for {len(self.labels or ())} labels"
            raise EmomtlError(problem, remedy="one value for each of `options.labels`")
        return self.labels

    def _table(self, table: Mapping[Any, Any]) -> ReadLabel:
        """A table of names with values in 0..1; None where a label is unknown."""
        shares = {}
        for key, value in table.items():
            label = self._label_of_key(as_written(key) or "")
            if label in shares:
                problem = "two names of a table mean one label"
                raise EmomtlError(problem, remedy="give each label once")
            shares[label] = share_of(label, value)
        if all(share is None for share in shares.values()):
            return self.nothing()
        return self._shares(shares) if self.exclusive else (self._per_rater(shares), ())

    # -- shares and votes --------------------------------------------------------------------------

    def _shares(self, values: Mapping[str, float | None]) -> ReadLabel:
        """Values by label as shares: votes are divided by their sum, or by `raters`."""
        if not self.exclusive or self.raters is not None:
            return self._per_rater(values), ()
        known = {label: value for label, value in values.items() if value is not None}
        total = math.fsum(known.values())
        if total > 1 and all(value.is_integer() for value in known.values()):
            return {label: value / total for label, value in known.items()}, (VOTES_AS_SHARES,)
        return dict(values), ()

    def _per_rater(self, values: Mapping[str, float | None]) -> dict[str, float | None]:
        """The values divided by `raters`, or as they are where it is not given."""
        raters = self.raters or 1
        return {label: None if value is None else value / raters for label, value in values.items()}

    def _column_share(self, column: str, cell: Any) -> float | None:
        """The value in one cell of a label's own column."""
        text = as_written(cell)
        if not text or self._key(text) in self._missing_keys or text in NULLS:
            return None
        share = share_of(column, text)
        assert share is not None
        if self.format == "distribution":
            return share
        if share > 1 and self.raters is None:
            problem = f"column '{column}' holds {quoted(cell)}, more than one vote"
            remedy = "`options.raters` says how many people voted; "
            remedy += 'one label a row: `label_format = "distribution"`'
            raise EmomtlError(problem, remedy=remedy)
        return share / (self.raters or 1)

    # -- single values -----------------------------------------------------------------------------

    @cached_property
    def _missing_keys(self) -> frozenset[str]:
        texts = [as_written(value) for value in self.missing]
        return frozenset(self._key(text) for text in texts if text)

    @cached_property
    def _label_by_key(self) -> dict[str, str]:
        """The label that `names` gives to a value."""
        return {self._key(as_written(value) or ""): name for value, name in self.names.items()}

    @cached_property
    def _label_by_spelling(self) -> dict[str, str]:
        return {self._key(label): label for label in self.labels or ()}

    def _key(self, text: str) -> str:
        """Equal for texts that mean the same."""
        return text.casefold() if self.fold_case else text

    def _label_of_key(self, value: str) -> str:
        """The label of a column, or of a key in a table."""
        return self._label_by_key.get(self._key(value)) or self._label_of(value)

    def _label_of(self, value: str) -> str:
        """The label that one value means; the taxonomy refuses a name that it lacks."""
        named = self._label_by_key.get(self._key(value))
        if named is not None:
            return named
        if self.format == "indices":
            return self._label_at(value)
        if is_number(value) and self.format is None:
            read_number = self._learned_number if self.labels is None else self._listed_number
            return read_number(value)
        if value in NULLS and self.format is None and value not in self._label_by_spelling:
            problem = "it could be a missing value, or a label of that name"
            remedy = f'`options.missing = ["{value}"]`, or `options.label_format = "names"`'
            raise AmbiguousLabel(problem, remedy, value)
        if self.fold_case:
            return self._label_by_spelling.get(self._key(value), self._key(value))
        return value

    def _learned_number(self, value: str) -> str:
        """A number where labels are learned: a name, unless it looks like a code or an amount."""
        if value.startswith("-"):
            problem = "a negative number could be a code for no label, or a label"
            remedy = f'`options.missing = [{value}]`, or `options.label_format = "names"`'
            raise AmbiguousLabel(problem, remedy, value)
        if not INTEGER.fullmatch(value):
            problem = "a fraction could be an amount, or the name of a label"
            remedy = '`head = { use = "regression" }`, or `options.label_format = "names"`'
            raise AmbiguousLabel(problem, remedy, value)
        return value

    def _listed_number(self, value: str) -> str:
        """A number beside `labels`: a name among them, and refused where it could be a position."""
        assert self.labels is not None
        is_name = value in self.labels
        is_position = INTEGER.fullmatch(value) and 0 <= int(value) < len(self.labels)
        if is_position and self.labels[int(value)] == value:
            return value
        if is_name and is_position:
            problem = "a number could be a name of `options.labels`, or a position in that list"
            raise AmbiguousLabel(problem, '`options.label_format = "names"` or "indices"', value)
        if is_position:
            problem = "a number could be a position in `options.labels`, or a code of its own"
            remedy = '`options.label_format = "indices"`, or '
            remedy += '`options.label_names = { "0" = NAME, ... }`'
            raise AmbiguousLabel(problem, remedy, value)
        if is_name or (INTEGER.fullmatch(value) and not value.startswith("-")):
            return value  # where it is no name, the taxonomy refuses it as it does any other
        remedy = "`options.missing` lists values that mean no label, "
        remedy += "`options.label_names` names the others"
        raise EmomtlError(f"the number {value} is none of the labels", remedy=remedy)

    def _label_at(self, value: str) -> str:
        """The label at a position."""
        labels = self.labels or ()
        if not INTEGER.fullmatch(value) or not 0 <= int(value) < len(labels):
            problem = f"position {quoted(value)} is outside 0..{len(labels) - 1}"
            raise EmomtlError(problem, remedy="`options.missing` lists codes")
        return labels[int(value)]
