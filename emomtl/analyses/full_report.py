"""The analyses that `emomtl report --full` adds to a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import Analysis
from emomtl.errors import EmomtlError
from emomtl.report.analysis_output import as_part
from emomtl.report.parts import Part

if TYPE_CHECKING:
    from emomtl.analyses.runs import RunFolders
    from emomtl.plugins.discovery import Plugins


def analysis_parts(runs: RunFolders, plugins: Plugins, given: Mapping[str, Any]) -> list[Part]:
    """Run every offered analysis that has `report_options`; each becomes a part of the report.

    `given` are options of the report itself, for those analyses that have a field of that name.
    EmomtlError where a corpus is not the one trained on. What an analysis cannot answer about these
    runs is said in its part.
    """
    runs.check_corpora()
    parts = []
    for name, offer in plugins.offers("analysis").items():
        cls = offer.value
        if not issubclass(cls, Analysis) or cls.report_options is None:
            continue
        fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        options = {**cls.report_options, **{k: v for k, v in given.items() if k in fields}}
        try:
            result = cls(**options).run(runs)
        except EmomtlError as error:
            parts.append(Part(name.capitalize(), f"Not shown: {error}", (), ()))
            continue
        if result.tables or result.pictures or result.findings or result.notes:
            parts.append(as_part(result))
    return parts
