"""Studies: many runs from one file, and one table that says what they show and what they do not."""

from emomtl.study.auxiliaries import auxiliary_table
from emomtl.study.executors import Ended, Executor, InProcess, Processes, Ray
from emomtl.study.figures import study_pictures
from emomtl.study.order import in_waves, jobs_of, left_of
from emomtl.study.page import StudyReport, study_page, study_report, study_tables
from emomtl.study.performing import Job, commands, state_of, trusted_by
from emomtl.study.planning import PlannedRun, StudyPlan, plan_study
from emomtl.study.rates import Grid, choose, keep_choices, plan_grid
from emomtl.study.reading import StudyFile, read_study
from emomtl.study.reopening import is_study, keep_plan, reopen_study
from emomtl.study.result import StudyResult
from emomtl.study.results import gather
from emomtl.study.space import study_space
from emomtl.study.table import study_table
from emomtl.study.turns import is_taken

__all__ = [
    "Ended",
    "Executor",
    "Grid",
    "InProcess",
    "Job",
    "PlannedRun",
    "Processes",
    "Ray",
    "StudyFile",
    "StudyPlan",
    "StudyReport",
    "StudyResult",
    "auxiliary_table",
    "choose",
    "commands",
    "gather",
    "in_waves",
    "is_study",
    "is_taken",
    "jobs_of",
    "keep_choices",
    "keep_plan",
    "left_of",
    "plan_grid",
    "plan_study",
    "read_study",
    "reopen_study",
    "state_of",
    "study_page",
    "study_pictures",
    "study_report",
    "study_space",
    "study_table",
    "study_tables",
    "trusted_by",
]
