"""How a task answers: heads are declared here without torch and built where a run needs them."""

from emomtl.contracts.heads.declaration import BaseRate, Head, Row
from emomtl.contracts.heads.metric_facts import MetricFacts
from emomtl.contracts.heads.multi_label import MultiLabel
from emomtl.contracts.heads.regression import Regression
from emomtl.contracts.heads.single_label import SingleLabel
from emomtl.contracts.heads.tokens import (
    MISSING_TOKEN,
    TokenHead,
    Vocabulary,
    encoder_passes,
    prepare_fixed,
)

__all__ = [
    "MISSING_TOKEN",
    "BaseRate",
    "Head",
    "MetricFacts",
    "MultiLabel",
    "Regression",
    "Row",
    "SingleLabel",
    "TokenHead",
    "Vocabulary",
    "encoder_passes",
    "prepare_fixed",
]
