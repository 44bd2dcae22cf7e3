"""Predictions for new texts: of one trained model, for texts in memory and for files of any size."""

from __future__ import annotations

from emomtl.inference.predict.choices import Choices
from emomtl.inference.predict.files import Written, check_out, predict_file
from emomtl.inference.predict.predictor import Answer, Predictor, flat, labels_only
from emomtl.inference.predict.reading import TextFile, open_texts
from emomtl.inference.predict.thresholds import chosen_thresholds
from emomtl.inference.predict.writing import ENDINGS

__all__ = [
    "ENDINGS",
    "Answer",
    "Choices",
    "Predictor",
    "TextFile",
    "Written",
    "check_out",
    "chosen_thresholds",
    "flat",
    "labels_only",
    "open_texts",
    "predict_file",
]
