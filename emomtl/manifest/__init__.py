"""The manifest: read with every error at once and its line, checked strictly, written back whole."""

from emomtl.manifest.differences import differences
from emomtl.manifest.faults import dotted, parts_of
from emomtl.manifest.later import as_it_was_run, without_later_keys
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
from emomtl.manifest.reading import MAX_BYTES, Draft, read_draft, read_manifest
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
    "as_it_was_run",
    "differences",
    "dotted",
    "manifest_schema",
    "option_model",
    "options_of",
    "parts_of",
    "read_draft",
    "read_manifest",
    "read_options",
    "without_later_keys",
    "write_manifest",
]
