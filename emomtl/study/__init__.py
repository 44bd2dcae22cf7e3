"""Studies: many runs from one file, and one table that says what they show and what they do not."""

from emomtl.study.executors import Ended, Executor, InProcess, Processes, Ray
from emomtl.study.performing import Job, commands, state_of
from emomtl.study.planning import PlannedRun, StudyPlan, plan_study
from emomtl.study.reading import StudyFile, read_study
from emomtl.study.results import StudyResult, gather
from emomtl.study.space import study_space
from emomtl.study.table import study_table

__all__ = [
    "Ended",
    "Executor",
    "InProcess",
    "Job",
    "PlannedRun",
    "Processes",
    "Ray",
    "StudyFile",
    "StudyPlan",
    "StudyResult",
    "commands",
    "gather",
    "plan_study",
    "read_study",
    "state_of",
    "study_space",
    "study_table",
]
