"""Where runs come from, as tables: how their manifests differ, and environments and data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emomtl.contracts.analysis import Cell, Table
from emomtl.manifest import Manifest, differences
from emomtl.report.collect import RunResult

LONGEST = 160
"""Characters of a value that these tables show."""


def difference_table(
    title: str,
    names: tuple[str, str, str],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    none: str = "no difference",
) -> Table:
    """Where two mappings differ, under `names` (of the key and both sides).

    `none` is the note where they do not differ.
    """
    rows = []
    for key, old, new in differences(before, after):
        rows.append((key, shortened(old), shortened(new)))
    return Table(title, names, tuple(rows), () if rows else (none,))


def manifest_table(
    reference: tuple[str, Manifest], other: tuple[str, Manifest], *, with_names: bool = True
) -> Table:
    """Where the manifest of a run differs from that of its reference, each with its run's name."""
    names = ("key", reference[0], other[0])
    before, after = manifest_values(reference[1]), manifest_values(other[1])
    if not with_names:
        before.pop("name", None)
        after.pop("name", None)
    return difference_table(f"{other[0]} against {reference[0]}", names, before, after)


def environment_tables(runs: Sequence[RunResult]) -> Iterator[Table]:
    """Where and on what data the runs were trained: a row for each value, with its runs."""
    environments, fingerprints = [], []
    for run in runs:
        facts = dict(run.environment)
        fingerprints.append(facts.pop("data", {}))
        facts.pop("plugins", None)
        environments.append(facts)
    names = [run.name for run in runs]
    yield Table("Environment", ("what", "value", "runs"), _runs_by_value(names, environments))
    columns = ("task", "fingerprint", "runs")
    yield Table("Fingerprints of rows (SHA-256)", columns, _runs_by_value(names, fingerprints))


def _runs_by_value(
    names: Sequence[str], mappings: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Cell, ...], ...]:
    """Rows of key, value and the names of the runs with this value; `mappings` are one a run."""
    runs: dict[tuple[str, str], list[str]] = {}
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        for name, mapping in zip(names, mappings, strict=True):
            if key in mapping:
                runs.setdefault((key, shortened(mapping[key])), []).append(name)
    rows = []
    for (key, value), having in runs.items():
        which = "; ".join(having)
        if len(having) == len(names):
            which = f"all {len(names)}"
        rows.append((key, value, which))
    return tuple(rows)


def manifest_values(manifest: Manifest) -> dict[str, Any]:
    """What of a manifest is compared: all but the folder in which it was written."""
    return manifest.model_dump(mode="json", exclude={"folder"})


def shortened(value: object) -> str:
    """A value as text, cut where it is long; nothing for None."""
    if value is None:
        return ""
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
