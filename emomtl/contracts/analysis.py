"""What an analysis is: a question to finished runs or to a manifest, with options and a result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = str | int | float | None
Severity = Literal["error", "warning", "note"]


class WarningNote(str):
    """A note of a table that warns; a page also shows all of them above its tables.

    As text it begins with `warning:`, and `about` is what follows.
    """

    about: str

    def __new__(cls, about: str) -> WarningNote:
        """The note with these words."""
        note = super().__new__(cls, f"warning: {about}")
        note.about = about
        return note


@dataclass(frozen=True)
class Table:
    """Rows under named columns; a cell of None is a number that is undefined.

    `notes` are what a reader must know beside the rows. `texts`, where given, has a text for each
    row, which only an HTML page shows, behind a click: no other format contains texts of a corpus.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers (and undefined ones), so that it is set flush right."""
        cells = [row[column] for row in self.rows]
        has_number = any(isinstance(cell, (int, float)) for cell in cells)
        return has_number and not all(isinstance(cell, str) for cell in cells)


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure with its caption, and the name of its files without an ending."""

    caption: str
    name: str
    figure: Figure


@dataclass(frozen=True)
class Finding:
    """One thing that an analysis found wrong; an `error` makes the command exit with code 1.

    `kind` is a short name by which findings are counted, `about` the tasks that it concerns,
    `remedy` what an error's message proposes, and `examples` a table of rows, with their texts
    unless the task is sensitive.
    """

    severity: Severity
    kind: str
    about: str
    text: str
    remedy: str = ""
    examples: Table | None = None


@dataclass(frozen=True)
class Result:
    """What an analysis found, in a form that any writer understands.

    `notes` hold for the whole result; notes of one table stand in the table. `data` is what
    `--json` prints and NAME.json holds, with every number in full; without it, that is the tables
    and findings. `pages` are further HTML pages by file name, which only `--out` writes.
    """

    title: str
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    findings: Sequence[Finding] = ()
    about: str = ""
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Predictions:
    """What a checkpoint predicts for the n rows of a split that have a target.

    `targets` (n, ...) and `probabilities` (n, L; for a regression the numbers) are NumPy arrays,
    `labels` the names of the L columns. `texts` must not leave the computer where the task is
    `sensitive`.
    """

    labels: tuple[str, ...]
    targets: Any
    probabilities: Any
    texts: Sequence[str]
    sensitive: bool = False


class AnalysedRun(Protocol):
    """A run directory as an analysis reads it; nothing is opened before it is asked for."""

    @property
    def name(self) -> str:
        """The run's name."""
        ...

    @property
    def folder(self) -> Path:
        """The run directory."""
        ...

    def trained(self, checkpoint: str = "best") -> Any:
        """The run with the model of a checkpoint: `plan`, `model`, `tokenizer`, `device`, ..."""
        ...

    def predictions(
        self, split: str, checkpoint: str = "best", task: str | None = None
    ) -> Mapping[str, Predictions]:
        """What a checkpoint predicts on a split, by task; of one task where it is named."""
        ...


class Runs(Protocol):
    """The runs that an analysis is asked about; each is opened anew while iterating.

    So only one model is in memory at a time, unless the analysis keeps it.
    """

    @property
    def say(self) -> Callable[[str], None]:
        """Print one line for the user, on stderr."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Analysis(ABC):
    """A question to finished runs: a frozen dataclass whose fields are the options.

    `emomtl analyse NAME RUN...` has an option for each field: its name, its type, its default, and
    `field(metadata={"description": ...})` as its help. The first line of the docstring is the help
    of the command. Import torch and matplotlib inside `run`: `--help` must not wait for them.
    """

    report_options: ClassVar[Mapping[str, Any] | None] = None
    """Options with which `report --full` runs this analysis; None leaves it out of reports.

    A field `split` gets the split of the report.
    """

    @abstractmethod
    def run(self, runs: Any) -> Result:
        """Answer the question about `runs`, which are `Runs`.

        EmomtlError where these runs cannot answer it.
        """


class ManifestAnalysis(ABC):
    """A question to a manifest, before it is trained; options and help are those of `Analysis`."""

    @abstractmethod
    def run(self, plan: Any, say: Callable[[str], None]) -> Result:
        """Answer the question for a composed manifest; `say` prints one line on stderr."""
