"""emomtl: multi-task fine-tuning for emotion classification. Every corpus is a plugin, every run a
TOML manifest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emomtl.contracts.analysis import (
    AnalysedRun,
    Analysis,
    Finding,
    ManifestAnalysis,
    Picture,
    Predictions,
    Result,
    Runs,
    Table,
)
from emomtl.contracts.encoder import EncoderSource, encoder_layers
from emomtl.contracts.encoder_change import Applied, EncoderChange, TaskSwitch, modules_by_name
from emomtl.contracts.exporter import Exporter, ModelToExport, TaskToExport
from emomtl.contracts.feature import Feature, Learned, TrainingRows
from emomtl.contracts.heads import (
    BaseRate,
    Head,
    MultiLabel,
    Regression,
    SingleLabel,
    TokenHead,
    Vocabulary,
)
from emomtl.contracts.hookspecs import hookimpl
from emomtl.contracts.label_reader import LabelReader
from emomtl.contracts.objective import HeadOutput, Objective, View
from emomtl.contracts.sampler import Moment, Sampler
from emomtl.contracts.sources import Files, Hub, Rows, Split, stable_fraction
from emomtl.contracts.task import DerivedTask, Example, Published, Task, TaskFamily
from emomtl.contracts.taxonomy import Grouping, Label, Taxonomy
from emomtl.contracts.weighting import SharedParameters, TaskFacts, Weighting
from emomtl.errors import AmbiguousLabel, EmomtlError
from emomtl.lexicon import Lexicon
from emomtl.run import Run
from emomtl.version import __version__

if TYPE_CHECKING:
    from emomtl.api.model import Model
    from emomtl.api.runs import load

_LATER = {"Model": "emomtl.api.model", "load": "emomtl.api.runs"}
"""Public names whose modules need torch or numpy: imported when they are first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'emomtl' has no attribute '{name}'")
    return getattr(import_module(_LATER[name]), name)


__all__ = [
    "AmbiguousLabel",
    "AnalysedRun",
    "Analysis",
    "Applied",
    "BaseRate",
    "DerivedTask",
    "EmomtlError",
    "EncoderChange",
    "EncoderSource",
    "Example",
    "Exporter",
    "Feature",
    "Files",
    "Finding",
    "Grouping",
    "Head",
    "HeadOutput",
    "Hub",
    "Label",
    "LabelReader",
    "Learned",
    "Lexicon",
    "ManifestAnalysis",
    "Model",
    "ModelToExport",
    "Moment",
    "MultiLabel",
    "Objective",
    "Picture",
    "Predictions",
    "Published",
    "Regression",
    "Result",
    "Rows",
    "Run",
    "Runs",
    "Sampler",
    "SharedParameters",
    "SingleLabel",
    "Split",
    "Table",
    "Task",
    "TaskFacts",
    "TaskFamily",
    "TaskSwitch",
    "TaskToExport",
    "Taxonomy",
    "TokenHead",
    "TrainingRows",
    "View",
    "Vocabulary",
    "Weighting",
    "__version__",
    "encoder_layers",
    "hookimpl",
    "load",
    "modules_by_name",
    "stable_fraction",
]
