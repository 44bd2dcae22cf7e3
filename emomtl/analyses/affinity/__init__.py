"""How much tasks help each other while they train: gradient cosines and look-ahead gains, to choose auxiliary tasks by."""

from emomtl.analyses.affinity.course import Affinity, affinity
from emomtl.analyses.affinity.gains import correlate, read_gains
from emomtl.analyses.affinity.picture import draw
from emomtl.analyses.affinity.probe import Measurement, probe
from emomtl.analyses.affinity.summary import as_json, ranking

__all__ = ["Affinity", "Measurement", "affinity", "as_json", "correlate", "draw", "probe", "ranking", "read_gains"]
