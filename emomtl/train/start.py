"""How a run starts, and how it goes on: from a plan to a session, fresh or from a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from emomtl.compose import Plan
from emomtl.contracts.weighting import TaskFacts
from emomtl.data.corpus import TaskData
from emomtl.data.tokens import Tokens
from emomtl.errors import EmomtlError, Problem, clean
from emomtl.inference.evaluator import Evaluator
from emomtl.inference.feature_vectors import FittedFeatures, learn, reopen
from emomtl.manifest import Manifest
from emomtl.metrics.selection import EMA
from emomtl.model.averaging import Average
from emomtl.model.build import build_model, change_encoder, restore_model
from emomtl.model.device import choose_device, choose_precision
from emomtl.model.encoder import rebuild_encoder
from emomtl.model.fast.cpu import skip_unread, try_cpu_kernels
from emomtl.model.fast.unpadded import Unpadded, choose_unpadded
from emomtl.model.loaded import LoadedEncoder
from emomtl.model.network import MultiTaskModel, Rates, parameter_groups, shared_parameters
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.model.recomputing import recompute_layers
from emomtl.run import Checkpoint, Run, align, check_new, is_run, open_own, resume_point
from emomtl.safety.files import trouble
from emomtl.train.balance import task_repeats
from emomtl.train.checks import check_processes, check_rows, task_facts
from emomtl.train.display import Display, Reporter
from emomtl.train.draw import Feeder
from emomtl.train.environment import (
    Change,
    Machine,
    amended,
    environment,
    find_changes,
    keep_files,
    rounding_changes,
    rounding_note,
)
from emomtl.train.gradients import TaskGradients
from emomtl.train.length import Length
from emomtl.train.losses import TaskLosses
from emomtl.train.origin import Origin, origin_of, recorded
from emomtl.train.reading import read, tokenise_all
from emomtl.train.reduction import Reduction
from emomtl.train.scale import TaskScale, task_scales, with_fitted_heads
from emomtl.train.session import Session
from emomtl.train.state import State

SAME_FACTS = ("emomtl", "torch", "transformers", "plugins", "data", "sizes", "precision")
"""Facts of the environment that have to be equal in all processes of a run."""

SLOTS = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's state of a parameter."""


@dataclass(frozen=True)
class _Ingredients:
    """What a session is made of: read, loaded and checked before anything is written.

    `encoder` is that of `origin` with the manifest's changes.
    """

    plan: Plan
    data: TaskData
    machine: Machine
    origin: Origin
    encoder: LoadedEncoder
    features: FittedFeatures
    ranks: Ranks


def start(plan: Plan, folder: Path, display: Display, ranks: Ranks = ALONE) -> Session:
    """Begin a new run in a new folder, ready for its first step.

    Several processes (`ranks`) call this together; the first one makes the folder, which all of
    them have to see. EmomtlError where rows, options or the folder do not do.
    """
    check_processes(plan, ranks)
    if plan.before is not None:
        raise ValueError("a plan with stages is several runs: start each of `compose.stages`")
    if ranks.first:
        check_new(folder)
    data = read(plan, display)
    plan = plan.with_taxonomies(data.taxonomies)
    for line in check_rows(plan, data):
        display.note(line)
    plan = with_fitted_heads(plan, data)
    machine = _choose_machine(plan.manifest)
    origin = origin_of(plan)
    encoder = change_encoder(plan, origin.encoder)
    features = learn(plan.features, data)
    ingredients = _Ingredients(plan, data, machine, origin, encoder, features, ranks)
    facts = environment(plan, data, machine, features, ranks) | origin.record

    # The folder is made last: whatever is wrong with rows or encoder leaves none behind.
    run = Run.create(folder, plan.manifest, facts) if ranks.first else None
    with _closed_on_error(run):
        if run is not None:
            keep_files(encoder, plan, run, features)
        run = _join(run, folder, facts, ranks, display)
        session = _make_session(ingredients, run, display)
        _broadcast_weights(session)
    return session


def resume(
    plan: Plan,
    folder: Path,
    display: Display,
    allow_changed: Collection[str] = (),
    ranks: Ranks = ALONE,
) -> Session:
    """Go on with a run from its last checkpoint; the number of processes may have changed.

    EmomtlError where manifest, corpus or plugins have, unless `allow_changed` has their keys.
    """
    check_processes(plan, ranks)
    if not is_run(folder):
        remedy = "nothing was trained there yet: begin without --resume, or name it with --out"
        raise EmomtlError(trouble(folder, "no run here (there is no run.json)", remedy))
    run = Run.open(folder, lock=ranks.first, writes=ranks.first)
    with _closed_on_error(run):
        checkpoint = _find_resume_point(run, ranks)
        data = read(plan, display)
        plan = with_fitted_heads(plan.with_taxonomies(data.taxonomies), data)
        machine = _choose_machine(plan.manifest)
        is_new = checkpoint is None
        features = learn(plan.features, data) if is_new else reopen(plan.features, run)
        facts = environment(plan, data, machine, features, ranks) | recorded(run)
        changes = find_changes(run, plan.manifest, facts, allow_changed)
        elsewhere = rounding_changes(run.environment, facts)
        if elsewhere:
            display.note(rounding_note(elsewhere))
        if checkpoint is None:
            run.cut_events(0)
            origin = origin_of(plan)
        else:
            kept_encoder, size = run.kept_encoder(), checkpoint.size("model")
            origin = Origin(rebuild_encoder(plan.encoder, kept_encoder, size))
        encoder = change_encoder(plan, origin.encoder)
        ingredients = _Ingredients(plan, data, machine, origin, encoder, features, ranks)
        if checkpoint is None:
            # No step was trained under what the run recorded before, so the record is renewed.
            if ranks.first:
                keep_files(encoder, plan, run, features)
            run.amend(plan.manifest, facts | origin.record)
        _join(run, folder, facts, ranks, display)
        session = _make_session(ingredients, run, display)
        session.resumed_elsewhere = elsewhere
        if checkpoint is not None:
            _restore(session, checkpoint)
            session.amended_environment = _apply_changes(session, changes, facts)
            run.cut_events(int(checkpoint.state["events"]))
            if ranks.first:
                align(run, checkpoint, session.state.best_step)
            _note_resume(session, checkpoint)
        _broadcast_weights(session)
    return session


@contextmanager
def _closed_on_error(run: Run | None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if run is not None:
            run.close()
        raise


def _choose_machine(manifest: Manifest) -> Machine:
    """Device and precision; sets the CPU threads."""
    if manifest.train.threads is not None:
        torch.set_num_threads(manifest.train.threads)
    device = choose_device(manifest.train.device)
    return Machine(device, choose_precision(manifest.train.precision, device))


def _join(
    run: Run | None, folder: Path, facts: Mapping[str, Any], ranks: Ranks, display: Display
) -> Run:
    """The run as each process sees it, once the first has made it.

    EmomtlError in a process that computes on other rows or with other versions than the first.
    """
    if ranks.world_size > 1:
        display.note(f"{ranks.world_size} processes train together")
    ranks.barrier()
    ranks.agree({name: facts[name] for name in SAME_FACTS})
    return run if run is not None else Run.open(folder, writes=False)


def _broadcast_weights(session: Session) -> None:
    """Give all processes the weights of the first, bit for bit, and those of the weighting."""
    tensors = [*session.model.state_dict().values(), *session.weighting.state_dict().values()]
    if session.average is not None:
        tensors += session.average.tensors().values()
    session.ranks.broadcast(tensors)


def _make_session(ingredients: _Ingredients, run: Run, display: Display) -> Session:
    """Build model, optimiser, and what draws rows and computes losses."""
    plan, data, ranks = ingredients.plan, ingredients.data, ingredients.ranks
    train = plan.manifest.train
    reporter = Reporter(display, run, plan.plugins, ranks.first)
    tokens = _tokens(ingredients, display)
    model, unpadded = _build_model(ingredients, reporter)
    for line in ingredients.origin.notes:
        reporter.note(line)
    vocabulary = ingredients.encoder.vocabulary
    scales = task_scales(plan, data, tokens, vocabulary.special)
    device = ingredients.machine.device
    facts = _scaled_facts(plan, data, scales)
    shared = shared_parameters(model)
    weighting = plan.weighting.start(facts, shared).to(device)
    optimizer = _make_optimizer(plan, model, weighting)
    losses = TaskLosses(
        model=model,
        tasks=plan.tasks,
        taxonomies=data.taxonomies,
        objectives=plan.objectives,
        scales=scales,
        seed=plan.manifest.seed,
        device=device,
        precision=ingredients.machine.precision,
        unpadded=unpadded,
        ranks=ranks,
    )
    evaluator = Evaluator(model, device, losses.precision, plan.manifest.eval.batch_size, ranks)
    feeder = Feeder(plan, data, tokens, vocabulary, task_repeats(plan, data), ranks)
    length = Length.of(train, data.sizes, feeder.batches, feeder.joint)
    # Another run's heads come after the optimiser: they change values, not parameters.
    ingredients.origin.load_into(model)
    average = None if train.ema is None else Average(model, train.ema)
    reduction = Reduction(ranks, shared) if ranks.world_size > 1 else None
    task_gradients = None
    if train.clip_by == "task" and train.clip:
        task_gradients = TaskGradients(model.parameters(), train.clip)
    return Session(
        plan=plan,
        run=run,
        data=data,
        tokens=tokens,
        model=model,
        optimizer=optimizer,
        weighting=weighting,
        losses=losses,
        evaluator=evaluator,
        feeder=feeder,
        length=length,
        state=State.fresh(plan.tasks),
        reporter=reporter,
        features=ingredients.features,
        average=average,
        ranks=ranks,
        reduction=reduction,
        task_gradients=task_gradients,
    )


def _tokens(ingredients: _Ingredients, display: Display) -> dict[tuple[str, str], Tokens]:
    """Token ids and features of every (corpus, split)."""
    encoder = ingredients.encoder
    # The others of a machine then find the tokens in its cache.
    with ingredients.ranks.local_main_first():
        tokens = tokenise_all(
            ingredients.data, encoder.tokenizer, ingredients.plan.encoder, display
        )
    return ingredients.features.beside_all(ingredients.data, tokens, training=True)


def _build_model(
    ingredients: _Ingredients, reporter: Reporter
) -> tuple[MultiTaskModel, Unpadded | None]:
    """The model on its device, with the fast paths that this machine and encoder allow.

    Beside it the path without padding, where texts train on it.
    """
    plan, encoder = ingredients.plan, ingredients.encoder
    device, precision = ingredients.machine.device, ingredients.machine.precision
    on_cpu, has_changes = device == "cpu", bool(plan.manifest.encoder.changes)
    model = build_model(plan, encoder, ingredients.features.width).to(device)
    if on_cpu:
        task = next(iter(plan.tasks))
        for line in try_cpu_kernels(model, encoder, task, plan.encoder.max_tokens):
            reporter.note(line)
    layers = plan.manifest.encoder.checkpoint_layers
    recompute_layers(encoder.module, layers, model.changes.switch)
    unpadded, why_not = choose_unpadded(
        plan.manifest.train.unpadded, encoder.module, device, precision, has_changes
    )
    if why_not:
        reporter.note(why_not)
    if on_cpu:
        # A sparse gradient of the word embedding only fits where gradients go into `.grad` alone.
        sums_losses = plan.weighting.sums_losses and plan.manifest.train.clip_by == "all"
        skip_unread(
            model,
            first_token=unpadded is None and not has_changes,
            word_gradient=sums_losses and ingredients.ranks.world_size == 1,
        )
    return model, unpadded


def _make_optimizer(
    plan: Plan, model: MultiTaskModel, weighting: torch.nn.Module
) -> torch.optim.AdamW:
    train = plan.manifest.train
    default = train.head_lr or train.lr
    rates = {name: bound.head.lr or default for name, bound in plan.tasks.items()}
    rates |= {name: rates[objective.task] for name, objective in plan.objectives.items()}
    all_rates = Rates(train.lr, rates, train.weighting_lr, train.layer_decay)
    groups = parameter_groups(model, weighting, all_rates, train.weight_decay)
    return torch.optim.AdamW(groups, betas=train.betas, eps=train.eps, fused=True)


def _scaled_facts(
    plan: Plan, data: TaskData, scales: Mapping[str, TaskScale]
) -> dict[str, TaskFacts]:
    """`task_facts` with the loss of the best constant answer as the weighting sees losses."""
    facts = task_facts(plan, data)
    for name, scale in scales.items():
        base_loss = scale.base_loss * plan.tasks[name].table.weight_at(0.0)
        if base_loss > 0:
            facts[name] = replace(facts[name], base_loss=base_loss)
    return facts


def _find_resume_point(run: Run, ranks: Ranks) -> Checkpoint | None:
    """The checkpoint to go on from; the first process verifies it, the others open the same."""
    if ranks.first:
        checkpoint = resume_point(run)
        ranks.broadcast_object(None if checkpoint is None else checkpoint.path.name)
        return checkpoint
    name: str | None = ranks.broadcast_object(None)
    return None if name is None else open_own(run, run.checkpoints / name)


def _restore(session: Session, checkpoint: Checkpoint) -> None:
    """Load the tensors and counters of a checkpoint.

    EmomtlError where one is missing or has another shape, or where `emomtl slim` has removed the
    optimiser's state of a run that has not finished.
    """
    path = str(checkpoint.path)
    other_checkpoint = "use another checkpoint, or start a new run"
    _check_facts(session, checkpoint, other_checkpoint)
    restore_model(session.model, checkpoint)
    is_slim = not checkpoint.has("optimizer")
    optimizer = {} if is_slim else checkpoint.tensors("optimizer")
    try:
        session.weighting.load_state_dict(checkpoint.tensors("weighting"))
        _restore_optimizer(session.optimizer, optimizer)
        if session.average is not None:
            _restore_average(session, session.average, checkpoint)
        session.state = State.from_json(checkpoint.state["run"])
        session.state.check(list(session.plan.tasks), checkpoint.step)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        finding = f"is not what this run's training writes: {clean(str(error), 200)}"
        raise EmomtlError(Problem(path, finding, other_checkpoint)) from error
    if is_slim and not session.state.finished:
        finding = "was slimmed: without its optimiser's state it cannot be trained further"
        remedy = "begin another run from its weights: `[start] run = ...` in a manifest"
        raise EmomtlError(Problem(str(session.run.folder), finding, remedy))
    session.window.restore(session.state.window, session.losses.device)


def _check_facts(session: Session, checkpoint: Checkpoint, remedy: str) -> None:
    """Check what a checkpoint says beside its state: labels, bytes of the event log, processes."""
    own, saved = session.labels(), checkpoint.labels
    wrong = [f"tasks.{name}" for name, labels in saved.items() if own.get(name) != labels]
    if wrong or saved.keys() != own.keys():
        finding = "the checkpoint was trained on other labels, or on the same in another order"
        ways = (
            "give the labels in the manifest as they were (environment.json says what has "
            "changed), or start a new run"
        )
        raise EmomtlError(*(Problem(place, finding, ways) for place in wrong or ["tasks"]))
    for count in (checkpoint.state.get("events"), checkpoint.state.get("processes", 1)):
        if type(count) is not int or count < 0:
            finding = "it does not say how far the events go, or how many processes there were"
            raise EmomtlError(Problem(str(checkpoint.path), finding, remedy))


def _restore_optimizer(optimizer: torch.optim.AdamW, saved: Mapping[str, torch.Tensor]) -> None:
    """Load AdamW's state; ValueError where a parameter's is not complete or of another shape.

    A parameter that was never updated has none.
    """
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            present = [slot for slot in SLOTS if f"{slot}:{name}" in saved]
            slots = {slot: saved[f"{slot}:{name}"] for slot in present}
            if any(v.numel() > 1 and v.shape != parameter.shape for v in slots.values()):
                raise ValueError(f"the optimiser's state of {name} has another shape")
            if 0 < len(slots) < len(SLOTS):
                raise ValueError(f"the optimiser's state of {name} is not complete")
            if slots:
                on_device = {slot: value.to(parameter.device) for slot, value in slots.items()}
                optimizer.state[parameter] = on_device


def _restore_average(session: Session, average: Average, checkpoint: Checkpoint) -> None:
    """Load the averaged weights; a run that keeps an average only from now on begins one."""
    if checkpoint.has(EMA):
        average.restore(checkpoint.tensors(EMA))
        return
    average.begin()
    line = f"train.ema: the average of the weights begins at step {checkpoint.step:,}"
    session.reporter.display.note(line)


def _apply_changes(
    session: Session, changes: list[Change], facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The environment to record with the next checkpoint, if anything has changed.

    A run that has finished takes no step under what changed, so there it is refused.
    """
    state = session.state
    real_changes = [change for change in changes if change.matters]
    if state.finished and real_changes:
        finding = (
            f"the run has finished, at step {state.step:,}, so nothing would be trained under "
            "what changed"
        )
        remedy = (
            "leave it as it was, or train a new run that begins with this one's weights "
            "([start] in its manifest)"
        )
        problems = [Problem(c.key, f"{c}; {finding}", remedy) for c in real_changes]
        raise EmomtlError(*problems)
    if not changes or state.finished:
        return None
    for change in real_changes:
        line = f"from step {state.step:,} on: {change.key}: {change}"
        session.reporter.display.note(line)
    return amended(session.run, facts, changes, state.step)


def _note_resume(session: Session, checkpoint: Checkpoint) -> None:
    display, now = session.reporter.display, session.ranks.world_size
    display.note(f"resumed at step {session.state.step:,} from {checkpoint.path.name}")
    before = checkpoint.state.get("processes", 1)
    if before != now:
        trained = f"it goes on in {now} process(es), and was trained in {before}"
        display.note(f"{trained}: dropout draws other numbers")
