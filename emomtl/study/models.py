"""A study's file as strict models: a base manifest, rows that change it, seeds, a target."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from emomtl.manifest.models import NAME, Positive, Table

Seed = Annotated[int, Field(ge=0, lt=2**32)]

LONGEST_NAME = 60
"""Most characters of a row's name, also of one made of choices on several axes."""

Rate = Annotated[float, Field(gt=0, lt=1)]

RowName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]

Margin = Annotated[float, Field(ge=0)]

Part = dict[str, Any]
"""A part of a manifest, to be laid over another."""


class Documented(Table):
    """A table of a study's file; the text below a field is its description in the schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class RowTable(Documented):
    """One row of the table: a name, and what of the base manifest is different."""

    name: RowName
    """the row's name in the table"""
    manifest: Part = Field(default_factory=dict)
    """a part of a manifest, over the base"""
    seeds: tuple[Seed, ...] | None = None
    """the seeds of this row; left out, the study's"""
    target: str | None = None
    """the task that this row is scored on; left out, the study's"""
    metric: str | None = None
    """its metric; left out, the study's for the study's target, else the main one"""
    published: dict[str, float] = Field(default_factory=dict)
    """what others report of this metric, by who they are"""
    after: str | None = None
    """the row or source from whose best checkpoint of the same seed its runs start"""
    against: str | None = None
    """the row that it is compared with; left out, the reference"""


class SourceTable(Documented):
    """Runs that exist only to be started from, with `after`; they have a task and length of their
    own.
    """

    name: RowName
    """the name by which `after` calls it"""
    base: str | None = None
    """its base manifest, relative to the study's file; left out, the study's"""
    manifest: Part = Field(default_factory=dict)
    """a part of a manifest, over the base"""
    after: str | None = None
    """the row or source from whose best checkpoint it starts itself"""


class RateTable(Documented):
    """One choice of rates that every row of a study is tried with."""

    lr: Rate
    """`train.lr`"""
    head_lr: Rate | None = None
    """`train.head_lr`; left out, the row's own"""

    @property
    def train(self) -> dict[str, float]:
        """The part of `[train]` that it sets."""
        return {"lr": self.lr} if self.head_lr is None else {"lr": self.lr, "head_lr": self.head_lr}

    @property
    def name(self) -> str:
        """The rates in words."""
        return ", ".join(f"{key} {value:g}" for key, value in self.train.items())


class RatesTable(Documented):
    """Rates are chosen for each row on validation, with equal effort: the same grid and seeds."""

    grid: tuple[RateTable, ...] = Field(min_length=2)
    """the rates that every row is tried with"""
    seeds: tuple[Seed, ...] = Field(default=(1,), min_length=1)
    """seeds of the grid's runs; none of the study's, so that no run chose its rate"""

    @model_validator(mode="after")
    def _each_once(self) -> RatesTable:
        names = [rates.name for rates in self.grid]
        if len(set(names)) < len(names) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("grid, seeds: give each once")
        return self


class ScaleTable(Documented):
    """One size in which the study can be run."""

    manifest: Part = Field(default_factory=dict)
    """a part of a manifest, over the base of every row"""
    sources: Part = Field(default_factory=dict)
    """a part of a manifest, over the base of every source"""
    tasks: dict[str, Part] = Field(default_factory=dict)
    """parts of `[tasks.NAME]` for every row and source that trains the task"""
    rates: RatesTable | None = None
    """the grid of rates at this scale; left out, the study's"""
    updates: Positive | None = None
    """updates of the target in every row"""
    seeds: tuple[Seed, ...] | None = None
    """the seeds at this scale; left out, the study's"""


class SpaceTable(Documented):
    """Also measure where the runs put the target's validation texts, as `emomtl analyse space`."""

    limit: Annotated[int, Field(ge=3)] = 5_000
    """texts at most; those whose hash is lowest"""


class Study(Documented):
    """Many runs and one table: every row with every seed, compared on the task `target`."""

    name: Annotated[str, Field(pattern=NAME, max_length=100)]
    """the study's name"""
    about: str = ""
    """what the study asks, in a sentence"""
    base: str | None = None
    """the manifest of every row: a file beside the study's, or a shipped one's name"""
    manifest: Part = Field(default_factory=dict)
    """a part of a manifest, over the base of every row"""
    target: str
    """the task that the rows are compared on"""
    metric: str | None = None
    """the metric of the target; left out, its head's main one"""
    margin: Margin = 0.0
    """a difference within plus and minus this is `equivalent`"""
    reference: str | None = None
    """the row that others are compared with; left out, the first"""
    seeds: tuple[Seed, ...] = Field(default=(17, 18, 19), min_length=1)
    """each row is run once with each"""
    scale: str | None = None
    """which of [scales] is run; left out, the first"""
    scales: dict[Annotated[str, Field(pattern=NAME)], ScaleTable] = Field(default_factory=dict)
    """sizes in which the study can be run"""
    equal_updates: bool = True
    """refuse rows in which the target gets unequal updates"""
    test: bool = True
    """score test once a run, with its best and its last checkpoint"""
    tuned: bool = True
    """with a multi-label target, a row for the reference with tuned thresholds"""
    rates: RatesTable | None = None
    """choose each row's rates on validation; left out, those of the manifests"""
    space: SpaceTable | None = None
    """also measure the embedding spaces of the rows"""
    sources: tuple[SourceTable, ...] = ()
    """runs that rows start from, and that are no rows"""
    rows: tuple[RowTable, ...] = ()
    """rows, one by one"""
    axes: dict[str, tuple[RowTable, ...]] = Field(default_factory=dict)
    """choices by axis; every combination of one choice an axis is a row"""

    @model_validator(mode="after")
    def _fits(self) -> Study:
        if bool(self.rows) == bool(self.axes):
            raise ValueError("rows or axes: give one of the two")
        for axis, choices in self.axes.items():
            if not choices:
                raise ValueError(f"the axis '{axis}' has no choices")
        if self.scale is not None and self.scale not in self.scales:
            known = ", ".join(self.scales) or "none"
            raise ValueError(f"scale: no [scales.{self.scale}]; there are {known}")
        own: set[int] = set()
        given = [self.seeds, *(row.seeds for row in self.rows)]
        given += [scale.seeds for scale in self.scales.values()]
        for seeds in given:
            if seeds is None:
                continue
            if not seeds or len(set(seeds)) < len(seeds):
                raise ValueError("seeds: give at least one, and each once")
            own.update(seeds)
        for grid in (self.rates, *(scale.rates for scale in self.scales.values())):
            if grid is not None and own & set(grid.seeds):
                found = "a seed of the study itself; a run must not choose its own rate"
                raise ValueError(f"rates.seeds: {found}")
        return self
