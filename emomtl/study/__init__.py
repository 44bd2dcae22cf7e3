"""Studies: many runs from one file, and one table that says what they show and what they do not."""

from emomtl.study.executors import Ended, Executor, InProcess, Processes, Ray
from emomtl.study.figures import study_pictures
from emomtl.study.gathering import gather
from emomtl.study.jobs import Job, commands, in_waves, left_of, state_of, trusted_by
from emomtl.study.other_tasks import other_tasks_table
from emomtl.study.page import StudyReport, study_page, study_report, study_tables
from emomtl.study.planned_jobs import jobs_of
from emomtl.study.planning import PlannedRun, StudyPlan, StudyRequest, plan_study
from emomtl.study.rates import Grid, choose, keep_choices, plan_grid
from emomtl.study.reading import StudyFile, read_study
from emomtl.study.reopening import is_study, keep_plan, reopen_study
from emomtl.study.result import StudyResult
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
    "StudyRequest",
    "StudyResult",
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
    "other_tasks_table",
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
