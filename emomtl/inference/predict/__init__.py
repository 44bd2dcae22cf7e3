"""Predictions for new texts, in memory and in files of any size."""

from __future__ import annotations

from emomtl.inference.predict.files import Output, Written, check_out, predict_file
from emomtl.inference.predict.layout import FileOptions
from emomtl.inference.predict.predictor import Prediction, Predictor, flat, labels_only
from emomtl.inference.predict.reading import TextFile, open_texts
from emomtl.inference.predict.thresholds import chosen_thresholds
from emomtl.inference.predict.writing import ENDINGS

__all__ = [
    "ENDINGS",
    "FileOptions",
    "Output",
    "Prediction",
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
