"""Emotion lexica: learned from a task's training rows, shown as words, and turned into five figures a label for any text."""

from emomtl.lexicon.lexicon import FIGURES, Lexicon
from emomtl.lexicon.tokens import tokens

__all__ = ["FIGURES", "Lexicon", "tokens"]
