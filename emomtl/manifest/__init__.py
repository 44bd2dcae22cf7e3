"""The manifest: read strictly, with a line for every error, and written back complete."""

from emomtl.manifest.added_keys import differences, remove_old_values, with_old_values
from emomtl.manifest.lines import Lines
from emomtl.manifest.models import (
    CheckpointTable,
    DataTable,
    EncoderTable,
    EvalTable,
    FeatureTable,
    HeadTable,
    Manifest,
    ObjectiveTable,
    PretrainTable,
    SamplerTable,
    StageTable,
    StartTable,
    TaskTable,
    TrainTable,
    Use,
)
from emomtl.manifest.options import option_model, options_of, read_options
from emomtl.manifest.overrides import apply_overrides
from emomtl.manifest.parsing import MAX_BYTES
from emomtl.manifest.places import dotted, parts_of
from emomtl.manifest.reading import Draft, read_draft, read_manifest
from emomtl.manifest.schema import manifest_schema
from emomtl.manifest.writing import write_manifest

__all__ = [
    "MAX_BYTES",
    "CheckpointTable",
    "DataTable",
    "Draft",
    "EncoderTable",
    "EvalTable",
    "FeatureTable",
    "HeadTable",
    "Lines",
    "Manifest",
    "ObjectiveTable",
    "PretrainTable",
    "SamplerTable",
    "StageTable",
    "StartTable",
    "TaskTable",
    "TrainTable",
    "Use",
    "apply_overrides",
    "differences",
    "dotted",
    "manifest_schema",
    "option_model",
    "options_of",
    "parts_of",
    "read_draft",
    "read_manifest",
    "read_options",
    "remove_old_values",
    "with_old_values",
    "write_manifest",
]
