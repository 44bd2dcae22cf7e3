"""Emotion lexica: learned from a task's training rows, shown as words, and turned into five figures
a label for any text.
"""

from emomtl.lexicon.lexicon import FIGURES, NEUTRAL, Lexicon
from emomtl.lexicon.scripts import not_cut
from emomtl.lexicon.tokens import token_spans, tokens

__all__ = ["FIGURES", "NEUTRAL", "Lexicon", "not_cut", "token_spans", "tokens"]
