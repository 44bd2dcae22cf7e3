"""A study as frozen, strict models: a base manifest, rows that change it, seeds, a target, and a scale."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from emomtl.manifest.models import NAME, Positive, Table

Seed = Annotated[int, Field(ge=0, lt=2**32)]

LONGEST_NAME = 60
"""Characters that the name of a row may have, one made of its choices on several axes too."""

Rate = Annotated[float, Field(gt=0, lt=1)]

RowName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class RowTable(Table):
    """One row of the table: a name, and what of the base manifest is different."""

    name: RowName = Field(description="the row's name in the table")
    manifest: dict[str, Any] = Field(default_factory=dict, description="a part of a manifest, laid over the base")
    seeds: tuple[Seed, ...] | None = Field(default=None, description="the seeds of this row; left out, the study's")
    target: str | None = Field(default=None, description="the task that this row is scored on; left out, the study's")
    metric: str | None = Field(
        default=None, description="its figure; left out, the study's for the study's target, else the main one"
    )
    published: dict[str, float] = Field(default_factory=dict, description="what others report of this figure, by who they are")
    after: str | None = Field(
        default=None, description="the row or source from whose best checkpoint of the same seed this row's runs start"
    )
    against: str | None = Field(
        default=None, description="the row that this one is compared with; left out, the study's reference"
    )


class SourceTable(Table):
    """Runs that are there only to be started from, with `after`: no row of the table, and with a task and length of their own."""

    name: RowName = Field(description="the name by which `after` calls it")
    base: str | None = Field(
        default=None, description="the manifest that it starts from, relative to the study's file; left out, the study's"
    )
    manifest: dict[str, Any] = Field(default_factory=dict, description="a part of a manifest, laid over the base")
    after: str | None = Field(default=None, description="the row or source from whose best checkpoint it starts itself")


class RateTable(Table):
    """One choice of rates that every row of a study is tried with."""

    lr: Rate = Field(description="`train.lr`")
    head_lr: Rate | None = Field(default=None, description="`train.head_lr`; left out, the row's own")

    @property
    def train(self) -> dict[str, float]:
        """The part of `[train]` that it sets."""
        return {"lr": self.lr} if self.head_lr is None else {"lr": self.lr, "head_lr": self.head_lr}

    @property
    def name(self) -> str:
        """The rates in words."""
        return ", ".join(f"{key} {value:g}" for key, value in self.train.items())


class RatesTable(Table):
    """Rates are chosen for each row on validation, with equal effort: every row runs the same grid with the same seeds."""

    grid: tuple[RateTable, ...] = Field(min_length=2, description="the rates that every row is tried with")
    seeds: tuple[Seed, ...] = Field(
        default=(1,), min_length=1, description="seeds of the grid's runs; none of the study's, so that no run chose its own rate"
    )

    @model_validator(mode="after")
    def _each_once(self) -> RatesTable:
        names = [one.name for one in self.grid]
        if len(set(names)) < len(names) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("grid, seeds: give each once")
        return self


class ScaleTable(Table):
    """One size in which the study can be run."""

    manifest: dict[str, Any] = Field(default_factory=dict, description="a part of a manifest, laid over the base of every row")
    sources: dict[str, Any] = Field(default_factory=dict, description="a part of a manifest, laid over the base of every source")
    tasks: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="parts of `[tasks.NAME]`, laid over that task in every row and source that trains it"
    )
    rates: RatesTable | None = Field(default=None, description="the grid of rates at this scale; left out, the study's")
    updates: Positive | None = Field(default=None, description="updates of the target in every row")
    seeds: tuple[Seed, ...] | None = Field(default=None, description="the seeds at this scale; left out, the study's")


class SpaceTable(Table):
    """Also measure where the runs put the target's validation texts, as `emomtl analyse space` does."""

    limit: Annotated[int, Field(ge=3)] = Field(default=5_000, description="texts at most; those whose hash is lowest")


class Study(Table):
    """Many runs and one table: every row with every seed, compared with the row `reference` on the task `target`."""

    name: Annotated[str, Field(pattern=NAME, max_length=100)] = Field(description="the study's name")
    about: str = Field(default="", description="what the study asks, in a sentence")
    base: str | None = Field(
        default=None, description="the manifest that every row starts from: a file beside the study's, or a shipped one's name"
    )
    manifest: dict[str, Any] = Field(default_factory=dict, description="a part of a manifest, laid over the base of every row")
    target: str = Field(description="the task that the rows are compared on")
    metric: str | None = Field(default=None, description="the figure of the target; left out, its head's main one")
    margin: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="a difference within plus and minus this counts as none: the verdict is `equivalent`"
    )
    reference: str | None = Field(default=None, description="the row that others are compared with; left out, the first")
    seeds: tuple[Seed, ...] = Field(default=(17, 18, 19), min_length=1, description="each row is run once with each")
    scale: str | None = Field(default=None, description="which of [scales] is run; left out, the first")
    scales: dict[Annotated[str, Field(pattern=NAME)], ScaleTable] = Field(
        default_factory=dict, description="sizes in which the study can be run"
    )
    equal_updates: bool = Field(default=True, description="refuse rows in which the target gets unequal updates")
    test: bool = Field(default=True, description="score test once for each run, with its best and its last checkpoint")
    tuned: bool = Field(
        default=True, description="with a multi-label target, a row for the reference with thresholds tuned on validation"
    )
    rates: RatesTable | None = Field(
        default=None, description="`[rates]`: choose each row's rates on validation; left out, rows have those of their manifests"
    )
    space: SpaceTable | None = Field(default=None, description="`[space]`: also measure the embedding spaces of the rows")
    sources: tuple[SourceTable, ...] = Field(default=(), description="runs that rows start from, and that are no rows")
    rows: tuple[RowTable, ...] = Field(default=(), description="rows, one by one")
    axes: dict[str, tuple[RowTable, ...]] = Field(
        default_factory=dict, description="choices by axis; every combination of one choice an axis is a row"
    )

    @model_validator(mode="after")
    def _fits(self) -> Study:
        if bool(self.rows) == bool(self.axes):
            raise ValueError("rows or axes: give one of the two")
        for axis, choices in self.axes.items():
            if not choices:
                raise ValueError(f"the axis '{axis}' has no choices")
        if self.scale is not None and self.scale not in self.scales:
            raise ValueError(f"scale: no [scales.{self.scale}]; there are {', '.join(self.scales) or 'none'}")
        grids = [one for one in (self.rates, *(scale.rates for scale in self.scales.values())) if one is not None]
        own = {*self.seeds, *(seed for row in self.rows for seed in row.seeds or ())}
        own |= {seed for scale in self.scales.values() for seed in scale.seeds or ()}
        if any(own & set(grid.seeds) for grid in grids):
            raise ValueError("rates.seeds: a seed of the study itself; a run must not choose its own rate")
        seeds = [self.seeds, *(row.seeds for row in self.rows), *(scale.seeds for scale in self.scales.values())]
        if any(given is not None and (not given or len(set(given)) < len(given)) for given in seeds):
            raise ValueError("seeds: give at least one, and each once")
        return self
