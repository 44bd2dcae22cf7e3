"""The check for heads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import Head, TokenHead
from emomtl.errors import EmomtlError
from emomtl.metrics.scoring import score
from emomtl.testing.findings import Findings
from emomtl.testing.loss_mean import check_loss_is_mean
from emomtl.testing.token_heads import check_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.contracts.task import LabelValue
    from emomtl.contracts.taxonomy import Taxonomy

WIDTH = 8
VAGUE = {"accuracy", "f1", "precision", "recall"}
"""Names that several metrics share; a metric needs its full name."""


def check_head(
    head: Head, taxonomy: Taxonomy | None, labels: Sequence[LabelValue] | None = None
) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a head and that does not hold.

    Labels are encoded and a module built, (B, W) -> (B, L). Its loss must be a finite scalar with
    gradients that is 0 where no target is known, is not changed by rows without target, and is the
    mean over what `known` counts (also where a target is known in part, if the loss allows that).
    Probabilities must be finite (B, L), answers name outputs, metrics have full names and are
    numbers or None, on no rows at all too. A head `by_thresholds` must give equal metrics for
    decisions; the table must have one row an output; every grouping of the taxonomy can be folded
    to. A head over tokens (`TokenHead`) prepares a small batch instead of encoding labels: purely,
    without changing it, and with a loss that reaches the states that it reads.

    `labels` are labels as a task's `read` gives them, at least two that differ. Left out, they are
    the taxonomy's names, or numbers (between the head's `low` and `high` where it has these) for a
    head without taxonomy.
    """
    findings = Findings(f"head {type(head).__name__}")
    findings.options(head)
    for name in ("kind", "main_metric"):
        remedy = f'write {name}: ClassVar[str] = "..." into the class'
        findings.expect(bool(getattr(head, name, "")), f"has no `{name}`", remedy)
    for name in ("lr", "dropout"):
        remedy = "every head has the fields `lr` and `dropout`"
        findings.expect(hasattr(head, name), f"has no option `{name}`", remedy)
    with findings.trying("check() with the taxonomy"):
        head.check(taxonomy)
    findings.done()
    with findings.trying("encoding labels"):
        outputs = head.outputs(taxonomy)
        unique = bool(outputs) and len(set(outputs)) == len(outputs)
        findings.expect(unique, f"has the outputs {outputs}", "name each once")
        if labels is None:
            labels = _default_labels(head, taxonomy)
        targets = _targets(head, taxonomy, labels)
        head = head.fitted(targets, taxonomy)
    findings.done()
    if isinstance(head, TokenHead):
        check_tokens(findings, head)
    else:
        with findings.trying("its loss"):
            _check_loss(findings, head, taxonomy, targets)
    with findings.trying("its metrics"):
        _check_predictions(findings, head, taxonomy, targets)
    findings.done()


def _default_labels(head: Head, taxonomy: Taxonomy | None) -> list[LabelValue]:
    """Each label by its name, or rows of numbers."""
    if taxonomy is not None:
        return list(taxonomy.names)
    low, high = getattr(head, "low", None), getattr(head, "high", None)
    low = 0.0 if low is None else low
    high = low + 1.0 if high is None else high
    numbers = [low + (high - low) * part for part in (0.25, 0.75, 1.0)]
    return [(number,) * len(head.outputs(None)) for number in numbers]


def _targets(head: Head, taxonomy: Taxonomy | None, labels: Sequence[LabelValue]) -> NDArray[Any]:
    """The labels encoded, then one row without label."""
    import numpy as np

    rows = [np.asarray(head.encode(label, taxonomy)) for label in labels]
    missing = np.asarray(head.encode(None, taxonomy))
    shapes = {row.shape for row in (*rows, missing)}
    if len(shapes) > 1 or {row.dtype.kind for row in rows} != {missing.dtype.kind}:
        problem = f"targets of different shapes or types: {sorted(shapes)}"
        raise EmomtlError(problem, remedy="let them all look alike")
    if head.answers != "nothing" and all(np.array_equal(rows[0], row) for row in rows):
        problem = f"{len(rows)} label(s) give the same target"
        raise EmomtlError(problem, remedy="let `encode` tell labels apart")
    targets = np.stack([*rows, missing])
    present = head.present(targets)
    if present.shape != (len(targets),) or present.tolist() != [True] * len(rows) + [False]:
        remedy = "True for each row with a label, False for encode(None)"
        raise EmomtlError(f"present() says {present.tolist()}", remedy=remedy)
    return targets


def _check_loss(
    findings: Findings, head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any]
) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = head.build(WIDTH, taxonomy).eval()
        pooled = torch.randn(len(targets), WIDTH)
    logits = module(pooled)
    shape = (len(targets), len(head.outputs(taxonomy)))
    if tuple(logits.shape) != shape:
        problem = f"build() gives logits of shape {tuple(logits.shape)}"
        raise EmomtlError(problem, remedy=f"(B, L) = {shape}")
    tensors = torch.from_numpy(targets)
    loss = head.loss(logits, tensors)
    if loss.shape != () or not math.isfinite(loss.item()):
        raise EmomtlError(f"is {loss}", remedy="a finite scalar, rows without target left out")
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    gradient = sum(float(grad.abs().sum()) for grad in gradients)
    problem = "the loss gives the head's parameters no finite gradient"
    finite = math.isfinite(gradient) and gradient > 0
    findings.expect(finite, problem, "compute it from the logits")
    known = head.loss(logits.detach()[:-1], tensors[:-1]).item()
    problem = f"a row without target changes the loss from {known:.6g} to {loss.item():.6g}"
    same = math.isclose(known, loss.item(), rel_tol=1e-5, abs_tol=1e-7)
    findings.expect(same, problem, "take the mean over known targets")
    nothing = head.loss(module(pooled[-1:]), tensors[-1:]).item()
    problem = f"without any known target the loss is {nothing}"
    findings.expect(nothing == 0, problem, "it must be 0, not NaN")
    _check_known(findings, head, targets, logits.detach())


def _check_known(findings: Findings, head: Head, targets: NDArray[Any], logits: Tensor) -> None:
    import numpy as np
    import torch

    counts, present = head.known(targets), head.present(targets)
    valid = counts.shape == (len(targets),) and bool(np.isfinite(counts).all())
    if not valid or (counts < 0).any() or ((counts > 0) != present).any():
        problem = f"known() says {counts.tolist()} where present() says {present.tolist()}"
        remedy = "one number a row: above 0 where something is known, else 0"
        raise EmomtlError(problem, remedy=remedy)
    partly = _partly_known(targets)
    if partly is not None and torch.isfinite(head.loss(logits[:1], torch.from_numpy(partly))):
        targets, logits = np.concatenate([partly, targets]), torch.cat([logits[:1], logits])
    check_loss_is_mean(findings, head, targets, logits, "row")


def _partly_known(targets: NDArray[Any]) -> NDArray[Any] | None:
    """The first row (1, L) with every second value missing; None where a target is one number."""
    if targets.ndim != 2 or targets.shape[1] < 2:
        return None
    row = targets[:1].copy()
    row[:, ::2] = targets[-1:, ::2]  # the last row is all missing
    return row


def _check_predictions(
    findings: Findings, head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any]
) -> None:
    import numpy as np

    outputs = head.outputs(taxonomy)
    logits = np.random.default_rng(3).normal(size=(len(targets), len(outputs)))
    probabilities = head.probabilities(logits)
    if probabilities.shape != logits.shape or not np.isfinite(probabilities).all():
        problem = f"probabilities() gives {probabilities.shape}"
        raise EmomtlError(problem, remedy=f"finite numbers of shape {logits.shape}")
    answers = head.decode(probabilities, outputs)
    names = {name for answer in answers for name, _ in answer}
    valid = len(answers) == len(targets) and names <= set(outputs)
    findings.expect(valid, "decode() must give one list of (output, number) a row")
    if head.by_thresholds:
        _check_decisions(findings, head, targets, (probabilities >= 0.5).astype(np.float64))
    for rows, what in ((slice(None), "all rows"), (slice(-1, None), "no known row")):
        scores = score(head, taxonomy, targets[rows], logits[rows])
        _check_metrics(findings, head, scores.metrics, what)
        for grouping, table in scores.tables.items():
            if head.answers == "nothing" and not table:
                continue
            expected, of = list(outputs), ""
            if grouping and taxonomy is not None:
                expected, of = list(taxonomy.grouping(grouping).names), f" for {grouping}"
            labels = [row.get("label") for row in table]
            problem = f"table() on {what}{of} has rows for {labels}"
            remedy = "one row an output, in order, with its name under 'label'"
            findings.expect(labels == expected, problem, remedy)


def _check_decisions(
    findings: Findings, head: Head, targets: NDArray[Any], decisions: NDArray[Any]
) -> None:
    """Check that decisions have the metrics that they have as probabilities."""
    known = head.present(targets)
    metrics = head.metrics(targets[known], decisions[known])
    of_decisions = head.decision_metrics(targets[known], decisions[known])
    for name, value in of_decisions.items():
        problem = f"decision_metrics() gives {name} = {value!r}, "
        problem += f"metrics() of the same decisions {metrics.get(name)!r}"
        equal = name in metrics and value == metrics[name]
        findings.expect(equal, problem, "equal numbers under equal names")


def _check_metrics(
    findings: Findings, head: Head, metrics: Mapping[str, float | None], what: str
) -> None:
    main, subject = head.main_metric, f"metrics() on {what}"
    problem = f"{subject} lacks the main metric '{main}'"
    findings.expect(main in metrics, problem, f"it gives {list(metrics)}")
    for name, value in metrics.items():
        full_name = name.split("/")[-1] not in VAGUE
        findings.expect(full_name, f"{subject} has '{name}'", "a full name, such as macro_f1")
        finite = value is None or (isinstance(value, float) and math.isfinite(value))
        problem = f"{subject} gives {name} = {value!r}"
        findings.expect(finite, problem, "a finite float, or None where it is undefined")
    value = metrics.get(main)
    if what == "no known row":
        problem = f"{subject} gives {main} = {value!r}"
        findings.expect(value is None, problem, "None: without rows it is undefined")
    if isinstance(value, float) and math.isfinite(value):
        _check_skill(findings, head, metrics, value)


def _check_skill(
    findings: Findings, head: Head, metrics: Mapping[str, float | None], value: float
) -> None:
    """Check that `skill` is a number, and a larger one where the main metric is better."""
    main, skill = head.main_metric, head.skill(metrics)
    if not isinstance(skill, float) or not math.isfinite(skill):
        problem = f"skill() is {skill!r} for {main} = {value!r}"
        findings.add(problem, "a finite float, since the main metric is defined")
        return
    better = value - 0.1 if head.less_is_better(main) else value + 0.1
    better_skill = head.skill({**metrics, main: better})
    problem = f"skill() is {better_skill!r} for a better {main}, and was {skill!r}"
    grows = isinstance(better_skill, float) and better_skill >= skill
    findings.expect(grows, problem, "more must be better")
