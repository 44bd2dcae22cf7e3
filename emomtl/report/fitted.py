"""A table that fits the terminal: upright, turned sideways, or a block a row; no word is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as RichTable

GAP = 3
"""Columns of the terminal between two columns of a table."""


@dataclass(frozen=True)
class FittedTable:
    """Cells as text under named columns; `numeric` columns stand flush right.

    `boxed` draws lines around all. Printed on a console it takes the first form that fits: a line a
    row (its words wrapped at spaces only), a line a column (where that has fewer columns), a block
    of lines a row.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]
    caption: str = ""
    boxed: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.text import Text

        by_column = list(zip(self.columns, *self.rows, strict=True))
        if not self.rows or self._least_width(by_column) <= options.max_width:
            yield self._upright(by_column)
            return
        if self.title:
            yield Text(self.title, style="italic" if self.boxed else "")
        turned = list(zip(*by_column, strict=True))
        fits = self._least_width(turned) <= options.max_width
        if fits and len(self.rows) < len(self.columns):
            yield self._turned(by_column)
        else:
            yield self._blocks()
        if self.caption:
            yield Text(self.caption, style="dim italic")

    def _least_width(self, columns: Iterable[Sequence[str]]) -> int:
        """Columns of the terminal that a table takes at least where no word is cut."""
        widths = list(map(_longest_word, columns))
        return sum(widths) + GAP * len(widths) + int(self.boxed)

    def _upright(self, by_column: Sequence[Sequence[str]]) -> RichTable:
        """A line a row."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        if self.boxed:
            caption = Text(self.caption) if self.caption else None
            table = RichTable(
                title=Text(self.title),
                title_justify="left",
                header_style="bold",
                caption=caption,
                caption_justify="left",
            )
        else:
            table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for cells, numeric in zip(by_column, self.numeric, strict=True):
            # without rows nothing was measured, and the names may be folded
            least = _longest_word(cells) if self.rows else None
            justify: Any = "right" if numeric else "left"
            table.add_column(Text(cells[0]), justify=justify, overflow="fold", min_width=least)
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def _turned(self, by_column: Sequence[Sequence[str]]) -> RichTable:
        """A line a column, and a column a row."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE, pad_edge=False, show_header=False)
        least = _longest_word(self.columns)
        table.add_column(overflow="fold", style="bold", min_width=least)
        justify: Any = "right"
        if len(self.rows) == 1:
            justify = "left"
        for row in self.rows:
            table.add_column(justify=justify, overflow="fold", min_width=_longest_word(row))
        for cells in by_column:
            table.add_row(*map(Text, cells))
        return table

    def _blocks(self) -> RichTable:
        """A block of lines a row, a line a column."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable.grid(padding=(0, 2))
        table.add_column(overflow="fold", style="bold")
        table.add_column(overflow="fold")
        for number, row in enumerate(self.rows):
            if number:
                table.add_row("", "")
            for name, cell in zip(self.columns, row, strict=True):
                table.add_row(Text(name), Text(cell))
        return table


def _longest_word(texts: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max((cell_len(word) for text in texts for word in text.split()), default=1)
