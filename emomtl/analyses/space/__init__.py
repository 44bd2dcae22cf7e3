"""`emomtl analyse space`: where runs put the texts of each label in the encoder's space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge

from emomtl.analyses.runs import CHECKPOINT, SPLIT, TASK, option
from emomtl.contracts.analysis import Analysis, Result
from emomtl.contracts.hookspecs import hookimpl
from emomtl.errors import EmomtlError, Problem

if TYPE_CHECKING:
    from emomtl.analyses.runs import RunFolders


@dataclass(frozen=True)
class SpaceAnalysis(Analysis):
    """Where runs put the texts of each label: similarity to VAD, clusters, neighbours, severity of
    errors, pictures.
    """

    task: str | None = option(None, TASK)
    split: str = option("validation", SPLIT)
    checkpoint: str = option("best", CHECKPOINT)
    pretrained: bool = option(False, "Look at the encoders before training too, as a baseline.")
    vad: Path | None = option(
        None, "A file with valence, arousal and dominance of the labels' words."
    )
    vad_columns: str | None = option(
        None, "The file's columns, where they have other names.", metavar="WORD,V,A,D"
    )
    limit: Annotated[int, Ge(3)] = option(5_000, "Texts at most; those whose hash is lowest.")
    points: Annotated[int, Ge(1)] | None = option(
        None, "Points in all pictures together; left out, every text is one, as pixels."
    )
    permutations: Annotated[int, Ge(1)] = option(10_000, "Permutations of each test.")
    seed: Annotated[int, Ge(0)] = option(17, "Of samples, permutations and t-SNE.")

    report_options: ClassVar = {"limit": 2_000, "points": 5_000, "permutations": 1_000}

    def __post_init__(self) -> None:
        """Refuse columns that cannot be those of a file of coordinates."""
        if self.vad_columns and (len(self.columns) != 4 or self.vad is None):
            found = f"'{self.vad_columns}' does not name four columns of --vad"
            raise EmomtlError(Problem("--vad-columns", found, "WORD,V,A,D"))

    @property
    def columns(self) -> list[str]:
        """The names in `vad_columns`."""
        return self.vad_columns.split(",") if self.vad_columns else []

    def run(self, runs: RunFolders) -> Result:
        """Measure the spaces of the runs over the same texts.

        EmomtlError where the runs share no task with the same labels, or read other texts for it.
        """
        from emomtl.analyses.space.measures import measure_spaces
        from emomtl.analyses.space.pictures import pictures
        from emomtl.analyses.space.report import as_json, tables

        spaces = measure_spaces(runs, self)
        return Result(
            f"The embedding space of {spaces.texts.task} on {self.split}",
            tables(spaces),
            pictures(spaces, runs.say, self.points),
            about=(
                f"Where the encoders put texts of {spaces.texts.task} with exactly one label, "
                "and whether labels that feel alike lie near each other."
            ),
            data=as_json(spaces),
        )


@hookimpl
def emomtl_analyses() -> dict[str, type[Any]]:
    """Offer `space`."""
    return {"space": SpaceAnalysis}
