"""A table that fits the terminal: upright, turned sideways, or a block a row; words and numbers are never cut inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as Drawn


@dataclass(frozen=True)
class FittedTable:
    """Cells as text under named columns; `numeric` columns stand flush right; `boxed` draws lines around all.

    Printed on a console it takes the first form that fits: a line a row (its words wrapped at spaces only), a line a column
    (where that has fewer columns), a block of lines a row.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]
    caption: str = ""
    boxed: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.text import Text

        if self._least(self.columns, self.rows) <= options.max_width or not self.rows:
            yield self._upright()
            return
        if self.title:
            yield Text(self.title, style="italic" if self.boxed else "")
        turned = [[row[place] for row in self.rows] for place in range(len(self.columns))]
        first = [[name, *cells] for name, cells in zip(self.columns, turned, strict=True)]
        fits = self._least([""] * (len(self.rows) + 1), first) <= options.max_width
        yield self._turned(first) if fits and len(self.rows) < len(self.columns) else self._blocks()
        if self.caption:
            yield Text(self.caption, style="dim italic")

    def _least(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
        """Columns of the terminal that a table takes at least where no word is cut."""
        gap, edge = (3, 1) if self.boxed else (3, 0)
        return sum(self._longest([name, *(row[place] for row in rows)]) + gap for place, name in enumerate(columns)) + edge

    @staticmethod
    def _longest(texts: Sequence[str]) -> int:
        from rich.cells import cell_len

        return max((cell_len(word) for text in texts for word in text.split()), default=1)

    def _upright(self) -> Drawn:
        from rich import box
        from rich.table import Table as Drawn
        from rich.text import Text

        look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False}
        if self.boxed:
            look = {"title": Text(self.title), "title_justify": "left", "header_style": "bold"}
            look |= {"caption": Text(self.caption), "caption_justify": "left"} if self.caption else {}
        drawn = Drawn(**look)
        for place, name in enumerate(self.columns):
            least = self._longest([name, *(row[place] for row in self.rows)])
            justify: Any = "right" if self.numeric[place] else "left"
            # without rows nothing was measured, and the names may be folded
            drawn.add_column(Text(name), justify=justify, overflow="fold", min_width=least if self.rows else None)
        for row in self.rows:
            drawn.add_row(*(Text(cell) for cell in row))
        return drawn

    def _turned(self, lines: Sequence[Sequence[str]]) -> Drawn:
        """A line a column, and a column a row."""
        from rich import box
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(box=box.SIMPLE, pad_edge=False, show_header=False)
        drawn.add_column(overflow="fold", style="bold", min_width=self._longest([line[0] for line in lines]))
        for place in range(1, len(lines[0])):
            least = self._longest([line[place] for line in lines])
            drawn.add_column(justify="left" if len(self.rows) == 1 else "right", overflow="fold", min_width=least)
        for line in lines:
            drawn.add_row(*(Text(cell) for cell in line))
        return drawn

    def _blocks(self) -> Drawn:
        """A block of lines a row, a line a column."""
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn.grid(padding=(0, 2))
        drawn.add_column(overflow="fold", style="bold")
        drawn.add_column(overflow="fold")
        for number, row in enumerate(self.rows):
            if number:
                drawn.add_row("", "")
            for name, cell in zip(self.columns, row, strict=True):
                drawn.add_row(Text(name), Text(cell))
        return drawn
