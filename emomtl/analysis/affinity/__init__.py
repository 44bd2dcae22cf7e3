"""How much tasks help each other while they train: gradient cosines and look-ahead gains, to choose auxiliary tasks by."""

from emomtl.analysis.affinity.course import Affinity, affinity
from emomtl.analysis.affinity.gains import correlate, read_gains
from emomtl.analysis.affinity.picture import draw
from emomtl.analysis.affinity.probe import Measurement, probe
from emomtl.analysis.affinity.summary import as_json, ranking

__all__ = ["Affinity", "Measurement", "affinity", "as_json", "correlate", "draw", "probe", "ranking", "read_gains"]
