"""The check for head kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emomtl.contracts.heads import Head, TokenHead
from emomtl.errors import EmomtlError
from emomtl.metrics.scoring import score
from emomtl.testing.findings import Findings
from emomtl.testing.token_heads import check_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from emomtl.contracts.task import LabelValue
    from emomtl.contracts.taxonomy import Taxonomy

WIDTH = 8
VAGUE = {"accuracy", "f1", "precision", "recall"}
"""Names that several figures share; a metric carries its full name."""


def check_head(head: Head, taxonomy: Taxonomy | None, labels: Sequence[LabelValue] | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a head and that does not hold.

    Labels are encoded and a module built: (B, W) -> (B, L), with a finite scalar loss that has gradients, that is 0 where
    no target is known, that rows without target do not change, and that is the mean over what `known` counts: also
    where a target is known in part, if the loss allows that. Probabilities must be finite (B, L), answers name outputs,
    metrics carry full names and are numbers or None, on no rows at all too; a head `by_thresholds` gives equal metrics for
    decisions; the table has one row an output; every grouping of the taxonomy can be folded to. A head that reads tokens
    (`TokenHead`) prepares a small batch instead of encoding labels: purely, without changing it, and with a loss that
    reaches the states that it reads.

    `labels` are labels as a task's `read` gives them, at least two that differ; left out, they are the taxonomy's names, or
    numbers (between the head's `low` and `high` where it has these) for a head without taxonomy.
    """
    findings = Findings(f"head {type(head).__name__}")
    findings.options(head)
    for name in ("kind", "main_metric"):
        findings.expect(bool(getattr(head, name, "")), f"has no `{name}`", f'write {name}: ClassVar[str] = "..." into the class')
    for name in ("lr", "dropout"):
        findings.expect(hasattr(head, name), f"has no option `{name}`", "every head has the fields `lr` and `dropout`")
    with findings.trying("check() with the taxonomy"):
        head.check(taxonomy)
    findings.done()
    with findings.trying("encoding labels"):
        outputs = head.outputs(taxonomy)
        findings.expect(bool(outputs) and len(set(outputs)) == len(outputs), f"has the outputs {outputs}", "name each once")
        targets = _targets(head, taxonomy, labels if labels is not None else _labels(head, taxonomy))
        head = head.fitted(targets, taxonomy)
    findings.done()
    if isinstance(head, TokenHead):
        check_tokens(findings, head)
    else:
        with findings.trying("its loss"):
            _check_loss(findings, head, taxonomy, targets)
    with findings.trying("its figures"):
        _check_figures(findings, head, taxonomy, targets)
    findings.done()


def _labels(head: Head, taxonomy: Taxonomy | None) -> list[LabelValue]:
    """Each label by its name, or rows of numbers."""
    if taxonomy is not None:
        return list(taxonomy.names)
    low, high = getattr(head, "low", None), getattr(head, "high", None)
    low, high = 0.0 if low is None else low, (low or 0.0) + 1.0 if high is None else high
    return [tuple(low + (high - low) * part for _ in head.outputs(None)) for part in (0.25, 0.75, 1.0)]


def _targets(head: Head, taxonomy: Taxonomy | None, labels: Sequence[LabelValue]) -> NDArray[Any]:
    """The labels encoded, then one row without label."""
    import numpy as np

    rows = [np.asarray(head.encode(label, taxonomy)) for label in labels]
    missing = np.asarray(head.encode(None, taxonomy))
    shapes = {row.shape for row in (*rows, missing)}
    if len(shapes) > 1 or {row.dtype.kind for row in rows} != {missing.dtype.kind}:
        raise EmomtlError(f"targets of different shapes or types: {sorted(shapes)}", remedy="let them all look alike")
    if head.answers != "nothing" and all(np.array_equal(rows[0], row) for row in rows):
        raise EmomtlError(f"{len(rows)} label(s) give the same target", remedy="let `encode` tell labels apart")
    targets = np.stack([*rows, missing])
    present = head.present(targets)
    if present.shape != (len(targets),) or present.tolist() != [True] * len(rows) + [False]:
        raise EmomtlError(f"present() says {present.tolist()}", remedy="True for each row with a label, False for encode(None)")
    return targets


def _check_loss(findings: Findings, head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any]) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = head.build(WIDTH, taxonomy).eval()
        pooled = torch.randn(len(targets), WIDTH)
    logits = module(pooled)
    wanted = (len(targets), len(head.outputs(taxonomy)))
    if tuple(logits.shape) != wanted:
        raise EmomtlError(f"build() gives logits of shape {tuple(logits.shape)}", remedy=f"(B, L) = {wanted}")
    tensors = torch.from_numpy(targets)
    loss = head.loss(logits, tensors)
    if loss.shape != () or not math.isfinite(loss.item()):
        raise EmomtlError(f"is {loss}", remedy="a finite scalar, rows without target left out")
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = [float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None]
    findings.expect(
        bool(gradient) and sum(gradient) > 0 and math.isfinite(sum(gradient)),
        "the loss gives the head's parameters no finite gradient",
        "compute it from the logits",
    )
    known = head.loss(logits.detach()[:-1], tensors[:-1])
    findings.expect(
        math.isclose(known.item(), loss.item(), rel_tol=1e-5, abs_tol=1e-7),
        f"a row without target changes the loss from {known.item():.6g} to {loss.item():.6g}",
        "take the mean over known targets",
    )
    nothing = head.loss(module(pooled[-1:]), tensors[-1:])
    findings.expect(nothing.item() == 0, f"without any known target the loss is {nothing.item()}", "it must be 0, not NaN")
    _check_known(findings, head, targets, logits.detach())


def _check_known(findings: Findings, head: Head, targets: NDArray[Any], logits: Tensor) -> None:
    """`known` counts what the loss is a mean over: so the losses of parts of the rows add up to that of all.

    With L(A) the loss of rows A and k(A) the sum of their counts, L(A and B) = (k(A) L(A) + k(B) L(B)) / k(A and B).
    """
    import numpy as np
    import torch

    counts = head.known(targets)
    positive = counts.shape == (len(targets),) and bool(np.isfinite(counts).all() and (counts >= 0).all())
    if not positive or ((counts > 0) != head.present(targets)).any():
        found = f"known() says {counts.tolist()} where present() says {head.present(targets).tolist()}"
        raise EmomtlError(found, remedy="one number a row: above 0 where something is known, else 0")
    rows, above = targets, logits
    if (partly := _partly_known(targets)) is not None and bool(torch.isfinite(head.loss(logits[:1], torch.from_numpy(partly)))):
        rows, above = np.concatenate([partly, targets]), torch.cat([logits[:1], logits])
    for cut in range(1, len(rows)):
        parts = [(rows[:cut], above[:cut]), (rows[cut:], above[cut:])]
        sums = [float(head.known(one).sum()) for one, _ in parts]
        losses = [float(head.loss(figures, torch.from_numpy(one))) for one, figures in parts]
        if not sum(sums):
            continue
        whole = float(head.loss(above, torch.from_numpy(rows)))
        mean = (sums[0] * losses[0] + sums[1] * losses[1]) / sum(sums)
        if not math.isclose(whole, mean, rel_tol=1e-4, abs_tol=1e-6):
            parts_say = f"known() counts {sums[0]:g} and {sums[1]:g}, by which two parts' losses make {mean:.6g}"
            found = f"{parts_say}; that of all rows is {whole:.6g}"
            findings.expect(False, found, "let known() give, for each row, what the mean of loss() is over")
            return


def _partly_known(targets: NDArray[Any]) -> NDArray[Any] | None:
    """The first row (1, L) with every second number of the last, missing one in it; None where a target is one number."""
    if targets.ndim != 2 or targets.shape[1] < 2:
        return None
    row = targets[:1].copy()
    row[:, ::2] = targets[-1:, ::2]
    return row


def _check_figures(findings: Findings, head: Head, taxonomy: Taxonomy | None, targets: NDArray[Any]) -> None:
    import numpy as np

    outputs = head.outputs(taxonomy)
    logits = np.random.default_rng(3).normal(size=(len(targets), len(outputs)))
    probabilities = head.probabilities(logits)
    if probabilities.shape != logits.shape or not np.isfinite(probabilities).all():
        raise EmomtlError(f"probabilities() gives {probabilities.shape}", remedy=f"finite numbers of shape {logits.shape}")
    answers = head.decode(probabilities, outputs)
    known = {name for answer in answers for name, _ in answer} <= set(outputs)
    findings.expect(len(answers) == len(targets) and known, "decode() must give one list of (output, number) a row")
    if head.by_thresholds:
        _check_decisions(findings, head, targets, (probabilities >= 0.5).astype(np.float64))
    for some, what in ((slice(None), "all rows"), (slice(-1, None), "no known row")):
        found = score(head, taxonomy, targets[some], logits[some])
        _check_metrics(findings, head, found.metrics, what)
        for grouping, table in found.tables.items():
            names = outputs if grouping == "" or taxonomy is None else taxonomy.grouping(grouping).names
            if head.answers == "nothing" and not table:
                continue
            labels = [row.get("label") for row in table]
            said = f"table() on {what}{f' for {grouping}' if grouping else ''} has rows for {labels}"
            findings.expect(labels == list(names), said, "one row an output, in order, with its name under 'label'")


def _check_decisions(findings: Findings, head: Head, targets: NDArray[Any], decisions: NDArray[Any]) -> None:
    """What a head `by_thresholds` says of decisions is what it says of them as probabilities."""
    known = head.present(targets)
    metrics = head.metrics(targets[known], decisions[known])
    found = head.decision_metrics(targets[known], decisions[known])
    for name, value in found.items():
        said = f"decision_metrics() gives {name} = {value!r}, metrics() of the same decisions {metrics.get(name)!r}"
        findings.expect(name in metrics and value == metrics[name], said, "equal numbers under equal names")


def _check_metrics(findings: Findings, head: Head, metrics: Mapping[str, float | None], what: str) -> None:
    said = f"metrics() on {what}"
    findings.expect(
        head.main_metric in metrics, f"{said} lacks the main metric '{head.main_metric}'", f"it gives {list(metrics)}"
    )
    for name, value in metrics.items():
        findings.expect(name.split("/")[-1] not in VAGUE, f"{said} has '{name}'", "a full name, such as macro_f1")
        fine = value is None or (isinstance(value, float) and math.isfinite(value))
        findings.expect(fine, f"{said} gives {name} = {value!r}", "a finite float, or None where it is undefined")
    if head.main_metric in metrics:
        _check_skill(findings, head, metrics, said)
    if what == "no known row":
        wrong = metrics.get(head.main_metric)
        findings.expect(wrong is None, f"{said} gives {head.main_metric} = {wrong!r}", "None: without rows it is undefined")


def _check_skill(findings: Findings, head: Head, metrics: Mapping[str, float | None], said: str) -> None:
    """What the main metric counts in a mean over tasks is a number where it is defined, and more where it is better."""
    value, skill = metrics[head.main_metric], head.skill(metrics)
    if value is None or not isinstance(value, float) or not math.isfinite(value):
        return
    fine = isinstance(skill, float) and math.isfinite(skill)
    findings.expect(fine, f"skill() of what {said} gives is {skill!r}", "a finite float, since the main metric is defined")
    better = head.skill({**metrics, head.main_metric: value - 0.1 if head.less_is_better(head.main_metric) else value + 0.1})
    grows = fine and isinstance(better, float) and better >= float(skill or 0.0)
    fell = f"skill() is {better!r} for a better {head.main_metric}, and was {skill!r}"
    findings.expect(grows or not fine, fell, "more must be better")
