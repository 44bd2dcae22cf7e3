"""emomtl: multi-task fine-tuning for emotion classification. Every corpus is a plugin, every run a TOML manifest."""

from emomtl.encoding import EncoderSource
from emomtl.errors import EmomtlError
from emomtl.features import Feature, Learned, TrainingRows
from emomtl.heads import Head, MultiLabel, Regression, SingleLabel
from emomtl.hookspecs import hookimpl
from emomtl.lexicon import Lexicon
from emomtl.run import Run
from emomtl.sampling import Moment, Sampler
from emomtl.sources import Files, Hub, Split, stable_fraction
from emomtl.task import DerivedTask, Example, Published, Task, TaskFamily
from emomtl.taxonomy import Grouping, Label, Taxonomy
from emomtl.weighting import TaskFacts, Weighting

__version__ = "0.1.0"

__all__ = [
    "DerivedTask",
    "EmomtlError",
    "EncoderSource",
    "Example",
    "Feature",
    "Files",
    "Grouping",
    "Head",
    "Hub",
    "Label",
    "Learned",
    "Lexicon",
    "Moment",
    "MultiLabel",
    "Published",
    "Regression",
    "Run",
    "Sampler",
    "SingleLabel",
    "Split",
    "Task",
    "TaskFacts",
    "TaskFamily",
    "Taxonomy",
    "TrainingRows",
    "Weighting",
    "__version__",
    "hookimpl",
    "stable_fraction",
]
