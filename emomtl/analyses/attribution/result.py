"""What an analysis of attributions has as its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emomtl.analyses.attribution.gradients import Attributed, Blank
from emomtl.analyses.attribution.texts import Chosen
from emomtl.analyses.attribution.words import WordList
from emomtl.analyses.space.vectors import Question
from emomtl.contracts.taxonomy import Taxonomy
from emomtl.metrics.bootstrap import BootstrapEstimate


@dataclass(frozen=True)
class Explained:
    """One run: what it is, its attributions, figures, and their differences from the first run's over the same texts."""

    name: str
    about: str
    found: Attributed
    figures: Mapping[str, BootstrapEstimate]
    differences: Mapping[str, BootstrapEstimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """Everything that one call of `emomtl analyse attribution` found."""

    task: str
    question: Question
    blank: Blank
    taxonomy: Taxonomy
    words: WordList
    chosen: Chosen
    runs: Sequence[Explained]
    notes: Sequence[str]
