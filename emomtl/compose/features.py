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
    """The features that resolve, in the manifest's order.

    `of` must name a task of the run, whose rows are read anyway; the first one where left out.
    """
    features = {}
    for name, table in tables.items():
        place, of = f"features.{name}", table.of or next(iter(tasks), "")
        if tasks and of not in tasks:
            found = f"'{clean(of)}' is no task of this run"
            composer.add(Problem(f"{place}.of", found, suggest(of, tasks)))
        kind = table.use or name
        feature = composer.used("feature", Use(use=kind, **table.options), place)
        if feature is not None and of in tasks:
            features[name] = BoundFeature(name, kind, of, table.folds, feature)
    return features


def complete_features(features: Mapping[str, BoundFeature]) -> dict[str, FeatureTable]:
    """The tables with every default and option written out."""
    tables = {}
    for name, bound in features.items():
        options = options_of(bound.feature)
        tables[name] = FeatureTable(use=bound.use, of=bound.of, folds=bound.folds, **options)
    return tables
