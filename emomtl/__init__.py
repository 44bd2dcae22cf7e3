"""emomtl: multi-task fine-tuning for emotion classification. Every corpus is a plugin, every run a TOML manifest."""

from emomtl.changes import Applied, EncoderChange, TaskSwitch, modules_by_name
from emomtl.encoding import EncoderSource, encoder_layers
from emomtl.errors import AmbiguousLabel, EmomtlError
from emomtl.features import Feature, Learned, TrainingRows
from emomtl.heads import BaseRate, Head, MultiLabel, Regression, SingleLabel, TokenHead, Vocabulary
from emomtl.hookspecs import hookimpl
from emomtl.label_reader import LabelReader
from emomtl.lexicon import Lexicon
from emomtl.objectives import Answers, Objective, View
from emomtl.run import Run
from emomtl.sampling import Moment, Sampler
from emomtl.sources import Files, Hub, Rows, Split, stable_fraction
from emomtl.task import DerivedTask, Example, Published, Task, TaskFamily
from emomtl.taxonomy import Grouping, Label, Taxonomy
from emomtl.weighting import SharedParameters, TaskFacts, Weighting

__version__ = "0.1.0"

__all__ = [
    "AmbiguousLabel",
    "Answers",
    "Applied",
    "BaseRate",
    "DerivedTask",
    "EmomtlError",
    "EncoderChange",
    "EncoderSource",
    "Example",
    "Feature",
    "Files",
    "Grouping",
    "Head",
    "Hub",
    "Label",
    "LabelReader",
    "Learned",
    "Lexicon",
    "Moment",
    "MultiLabel",
    "Objective",
    "Published",
    "Regression",
    "Rows",
    "Run",
    "Sampler",
    "SharedParameters",
    "SingleLabel",
    "Split",
    "Task",
    "TaskFacts",
    "TaskFamily",
    "TaskSwitch",
    "Taxonomy",
    "TokenHead",
    "TrainingRows",
    "View",
    "Vocabulary",
    "Weighting",
    "__version__",
    "encoder_layers",
    "hookimpl",
    "modules_by_name",
    "stable_fraction",
]
