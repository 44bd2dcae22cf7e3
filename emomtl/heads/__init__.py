"""How a task answers: heads are declared here without torch and built where a run needs them."""

from emomtl.heads.declaration import Head, Row
from emomtl.heads.multi_label import MultiLabel
from emomtl.heads.regression import Regression
from emomtl.heads.single_label import SingleLabel

__all__ = ["Head", "MultiLabel", "Regression", "Row", "SingleLabel"]
