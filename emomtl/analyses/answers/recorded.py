"""Heads and labels of a run as its own files tell them, so that a report runs none of the run's
code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emomtl.contracts.taxonomy import Grouping, Taxonomy
from emomtl.errors import EmomtlError
from emomtl.manifest.options import read_options
from emomtl.metrics.scoring import OWN

if TYPE_CHECKING:
    from emomtl.contracts.heads import Head
    from emomtl.manifest import HeadTable
    from emomtl.run import Checkpoint, Run

Recorded = tuple["Head", "Taxonomy | None"]
CORE: dict[str, type[Head]] = {head.kind: head for head in OWN}


def recorded_tasks(run: Run, checkpoint: Checkpoint) -> tuple[dict[str, Recorded], list[str]]:
    """Head and labels of each task that was scored, and the tasks whose head is the code of a
    plugin.

    Heads come from the kind that scores.json says and the options that the run's manifest says,
    labels from the checkpoint, and groupings from scores.json. A task that answers with nothing is
    in neither; one that was scored by an emomtl which did not write this is among the latter.
    """
    found: dict[str, Recorded] = {}
    lacking: list[str] = []
    for task, scores in _newest(run).items():
        head = scores.get("head")
        if isinstance(head, dict) and head.get("answers") == "nothing":
            continue
        recorded = _recorded(run, task, scores, checkpoint.labels.get(task, []))
        if recorded is None:
            lacking.append(task)
        else:
            found[task] = recorded
    return found, lacking


def _newest(run: Run) -> dict[str, Mapping[str, Any]]:
    """The newest scores of each task of the run, in the order of the manifest."""
    newest = {task: scores for entry in run.scores() for task, scores in entry["tasks"].items()}
    return {task: newest[task] for task in run.manifest.tasks if task in newest}


def _recorded(run: Run, task: str, scores: Mapping[str, Any], labels: list[str]) -> Recorded | None:
    """The head and the labels of a task; None where the head is no one of emomtl's, or does not
    fit.
    """
    head = own_head(scores, run.manifest.tasks[task].head)
    if head is None:
        return None
    try:
        taxonomy = _taxonomy(labels, scores.get("groupings")) if head.answers == "labels" else None
    except EmomtlError:
        return None
    return (head, taxonomy) if list(head.outputs(taxonomy)) == labels else None


def own_head(scores: Mapping[str, Any], table: HeadTable | None) -> Head | None:
    """The head that gave these scores, with the options of a manifest; None where it is no one of
    emomtl's own.
    """
    about = scores.get("head")
    if not isinstance(about, dict) or not about.get("of_emomtl") or table is None:
        return None
    kind = CORE.get(str(about.get("kind")))
    if kind is None or table.use != kind.kind:
        return None
    head, problems = read_options(kind, table.options, "head")
    return None if problems else head


def _taxonomy(labels: list[str], groupings: object) -> Taxonomy:
    """Labels with their groupings, each a mapping of coarse names to members."""
    known = groupings if isinstance(groupings, dict) else {}
    made = []
    for name, groups in known.items():
        if not isinstance(groups, dict) or not all(
            isinstance(members, list) for members in groups.values()
        ):
            raise EmomtlError(f"grouping '{name}' is not what emomtl writes")
        made.append(Grouping(name, {coarse: tuple(members) for coarse, members in groups.items()}))
    return Taxonomy(labels, made)
