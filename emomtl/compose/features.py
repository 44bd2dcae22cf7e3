"""The features of a run, resolved: each with its options and the task that it learns from."""

from __future__ import annotations

from collections.abc import Mapping

from emomtl.compose.composer import Composer
from emomtl.compose.plan import BoundFeature
from emomtl.errors import Problem, clean, suggest
from emomtl.manifest import FeatureTable, TaskTable, Use, options_of


def bind_features(
    composer: Composer, tables: Mapping[str, FeatureTable], tasks: Mapping[str, TaskTable]
) -> dict[str, BoundFeature]:
    """The features that resolve, in the manifest's order; `of` must name a task of the run, whose rows are read anyway."""
    bound = {}
    for name, table in tables.items():
        place, of = f"features.{name}", table.of or next(iter(tasks), "")
        known = of in tasks
        if tasks and not known:
            composer.add(Problem(f"{place}.of", f"'{clean(of)}' is no task of this run", suggest(of, tasks)))
        feature = composer.used("feature", Use(use=table.use or name, **table.options), place)
        if feature is not None and known:
            bound[name] = BoundFeature(name, table.use or name, of, table.folds, feature)
    return bound


def complete_features(bound: Mapping[str, BoundFeature]) -> dict[str, FeatureTable]:
    """The tables with every default and option written out."""
    return {name: FeatureTable(use=one.use, of=one.of, folds=one.folds, **options_of(one.feature)) for name, one in bound.items()}
