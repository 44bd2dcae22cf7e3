"""How a run starts, and goes on: rows, tokens, model, optimiser and state are brought up from a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emomtl.compose import Plan, check_ties, objective_problems
from emomtl.contracts.sampler import Moment
from emomtl.contracts.weighting import TaskFacts, Weighting
from emomtl.data.corpus import TaskData
from emomtl.errors import EmomtlError, Problem
from emomtl.inference.feature_vectors import FittedFeatures, learn, reopen
from emomtl.manifest import Manifest
from emomtl.model.averaging import Average
from emomtl.model.build import build_model, change_encoder
from emomtl.model.device import choose_device, choose_precision
from emomtl.model.encoder import rebuild_encoder
from emomtl.model.fast.cpu import skip_unread, try_cpu_kernels
from emomtl.model.fast.unpadded import choose_unpadded
from emomtl.model.loaded import LoadedEncoder
from emomtl.model.network import MultiTaskModel, Rates, parameter_groups, shared_parameters
from emomtl.model.parallel.ranks import ALONE, Ranks
from emomtl.model.recomputing import recompute_layers
from emomtl.run import Checkpoint, Run, align, check_new, is_run, open_own, resume_point
from emomtl.safety.files import trouble
from emomtl.train.balance import task_repeats
from emomtl.train.by_task import TaskGradients
from emomtl.train.display import Display
from emomtl.train.draw import Feeder
from emomtl.train.environment import differing, elsewhere, environment, in_words
from emomtl.train.kept import keep
from emomtl.train.length import Length, batch_sizes
from emomtl.train.origin import Origin, origin_of, recorded
from emomtl.train.reading import read, tokenise_all
from emomtl.train.reduction import Reduction
from emomtl.train.restoring import restore
from emomtl.train.scale import TaskScale, task_scales, with_fitted_heads
from emomtl.train.session import Session
from emomtl.train.state import State
from emomtl.train.targets import check_targets

if TYPE_CHECKING:
    pass


def start(plan: Plan, folder: Path, display: Display, ranks: Ranks = ALONE) -> Session:
    """A new run in a new folder: rows are read, then the folder is made, then the first step can be taken.

    Several processes (`ranks`) call this together, and the first one makes the folder, which all of them have to see.
    """
    _check_processes(plan, ranks)
    if plan.before is not None:
        raise ValueError("a plan with stages is several runs: start each that `emomtl.compose.stages` gives")
    if ranks.first:
        check_new(folder)
    data = read(plan, display)
    plan = plan.with_taxonomies(data.taxonomies)
    _check_rows(plan, data, display)
    plan = with_fitted_heads(plan, data)
    device, precision = _machine(plan.manifest)
    origin = origin_of(plan)
    encoder = change_encoder(plan, origin.encoder)
    features = learn(plan.features, data)
    now = environment(plan, data, device, precision, features, ranks) | origin.record
    run = Run.create(folder, plan.manifest, now) if ranks.first else None
    try:
        if run is not None:
            keep(encoder, plan, run, features)
        run = _together(run, folder, now, ranks, display)
        session = _session(plan, run, data, encoder, origin, device, precision, display, features, ranks)
        session.say_of_encoder(origin.notes)
        return session.joined()
    except BaseException:
        if run is not None:
            run.close()
        raise


def resume(plan: Plan, folder: Path, display: Display, allow_changed: Collection[str] = (), ranks: Ranks = ALONE) -> Session:
    """Go on with a run from its last checkpoint; a manifest, corpus or plugin that changed is refused unless allowed.

    There may be more or fewer processes (`ranks`) than before.
    """
    _check_processes(plan, ranks)
    if not is_run(folder):
        remedy = "nothing was trained there yet: begin without --resume, or name the run's folder with --out"
        raise EmomtlError(trouble(folder, "no run here (there is no run.json)", remedy))
    run = Run.open(folder, lock=ranks.first, writes=ranks.first)
    try:
        checkpoint = _resume_point(run, ranks)
        data = read(plan, display)
        plan = with_fitted_heads(plan.with_taxonomies(data.taxonomies), data)
        device, precision = _machine(plan.manifest)
        features = reopen(plan.features, run) if checkpoint is not None else learn(plan.features, data)
        now = environment(plan, data, device, precision, features, ranks) | recorded(run)
        changes, other = differing(run, plan.manifest, now, allow_changed), elsewhere(run.environment, now)
        if other:
            display.note(in_words(other))
        if checkpoint is not None:
            origin = Origin(rebuild_encoder(plan.encoder, run.kept_encoder(), checkpoint.size("model")))
        else:
            run.cut_events(0)
            origin = origin_of(plan)
        encoder = change_encoder(plan, origin.encoder)
        if checkpoint is None:  # no step was trained under what the run noted before
            if ranks.first:
                keep(encoder, plan, run, features)
            run.amend(plan.manifest, now | origin.record)
        _together(run, folder, now, ranks, display)
        session = _session(plan, run, data, encoder, origin, device, precision, display, features, ranks)
        session.elsewhere = other
        session.say_of_encoder(origin.notes)
        if checkpoint is not None:
            restore(session, checkpoint)
            session.change(changes, now)
            run.cut_events(int(checkpoint.state["events"]))
            if ranks.first:
                align(run, checkpoint, session.state.best_step)
            display.note(f"resumed at step {session.state.step:,} from {checkpoint.path.name}")
            if (before := checkpoint.state.get("processes", 1)) != ranks.world_size:
                display.note(
                    f"it goes on in {ranks.world_size} process(es), and was trained in {before}: dropout draws other numbers"
                )
        return session.joined()
    except BaseException:
        run.close()
        raise


def _together(run: Run | None, folder: Path, now: Mapping[str, Any], ranks: Ranks, display: Display) -> Run:
    """The run, once the first process has made it, as each process sees it; refused where one computes on something else."""
    if ranks.world_size > 1:
        display.note(f"{ranks.world_size} processes train together")
    ranks.barrier()
    ranks.agree({name: now[name] for name in ("emomtl", "torch", "transformers", "plugins", "data", "sizes", "precision")})
    return run if run is not None else Run.open(folder, writes=False)


def _resume_point(run: Run, ranks: Ranks) -> Checkpoint | None:
    """The checkpoint to go on from: the first process finds and verifies it, the others open the same."""
    if ranks.first:
        checkpoint = resume_point(run)
        ranks.broadcast_object(None if checkpoint is None else checkpoint.path.name)
        return checkpoint
    name: str | None = ranks.broadcast_object(None)
    return None if name is None else open_own(run, run.checkpoints / name)


def _session(
    plan: Plan,
    run: Run,
    data: TaskData,
    encoder: LoadedEncoder,
    origin: Origin,
    device: str,
    precision: str,
    display: Display,
    features: FittedFeatures,
    ranks: Ranks,
) -> Session:
    manifest = plan.manifest
    with ranks.local_main_first():  # the others of a machine find the tokens in its cache
        tokens = tokenise_all(data, encoder.tokenizer, plan.encoder, display)
    tokens = features.beside_all(data, tokens, training=True)
    heads = {name: bound.head for name, bound in plan.tasks.items()}
    model = build_model(plan, encoder, features.width).to(device)
    notes = try_cpu_kernels(model, encoder, next(iter(plan.tasks)), plan.encoder.max_tokens) if device == "cpu" else []
    recompute_layers(encoder.module, manifest.encoder.checkpoint_layers, model.changes.switch)
    changed = bool(manifest.encoder.changes)
    unpadded, why = choose_unpadded(manifest.train.unpadded, encoder.module, device, precision, changed)
    if device == "cpu":
        _spare(plan, model, padded=unpadded is None, alone=ranks.world_size == 1)
    scales = task_scales(plan, data, tokens, encoder.vocabulary.special)
    weighting = plan.weighting.start(_scaled_facts(plan, data, scales), shared_parameters(model)).to(device)
    train = manifest.train
    rates = {name: head.lr or train.head_lr or train.lr for name, head in heads.items()}
    rates |= {name: rates[one.task] for name, one in plan.objectives.items()}
    groups = parameter_groups(model, weighting, Rates(train.lr, rates, train.weighting_lr, train.layer_decay), train.weight_decay)
    optimizer = torch.optim.AdamW(groups, betas=train.betas, eps=train.eps, fused=True)
    batches = batch_sizes(manifest)
    feeder = Feeder(
        data,
        tokens,
        heads,
        batches,
        frozenset(name for name, table in manifest.tasks.items() if table.batch_size),
        manifest.sampler.per_step == "all",
        manifest.seed,
        manifest.data.buckets,
        train.accumulate,
        encoder.vocabulary,
        ranks,
        task_repeats(plan, data),
    )
    length = Length.of(train, data.sizes, batches, manifest.sampler.per_step == "all")
    state = State.fresh(plan.tasks)
    reduction = Reduction(ranks, shared_parameters(model)) if ranks.world_size > 1 else None
    more: dict[str, Any] = {"features": features, "ranks": ranks, "reduction": reduction, "unpadded": unpadded, "scales": scales}
    more["by_task"] = TaskGradients(model.parameters(), train.clip) if train.clip_by == "task" and train.clip else None
    session = Session(
        plan, run, data, tokens, model, weighting, optimizer, feeder, length, state, device, precision, display, **more
    )
    session.say_of_encoder([*notes, *([why] if why else [])])
    return _begun(session, origin)


def _begun(session: Session, origin: Origin) -> Session:
    """The session with what was taken over of another run, and where one is kept, the average of its weights from there."""
    origin.give(session.model)
    decay = session.plan.manifest.train.ema
    session.average = None if decay is None else Average(session.model, decay)
    return session


def _spare(plan: Plan, model: MultiTaskModel, padded: bool, alone: bool) -> None:
    """Skip, on a CPU, computation that nobody reads, as far as this run allows."""
    published = padded and not plan.manifest.encoder.changes
    plain = plan.weighting.sums_losses and plan.manifest.train.clip_by == "all"  # gradients go into `.grad` alone
    skip_unread(model, first_token=published, word_gradient=alone and plain)


def _facts(plan: Plan, data: TaskData) -> dict[str, TaskFacts]:
    """What a weighting may know of the tasks."""
    labels = {name: len(bound.head.outputs(data.taxonomies[name])) for name, bound in plan.tasks.items()}
    return {name: TaskFacts(data.sizes[name], labels[name], bound.head.kind) for name, bound in plan.tasks.items()}


def _scaled_facts(plan: Plan, data: TaskData, scales: Mapping[str, TaskScale]) -> dict[str, TaskFacts]:
    """The same, with the loss that the best constant answer would have as the weighting sees losses."""
    facts = _facts(plan, data)
    for name, scale in scales.items():
        base_loss = scale.base_loss * plan.manifest.tasks[name].weight_at(0.0)
        if base_loss > 0:
            facts[name] = replace(facts[name], base_loss=base_loss)
    return facts


def _check_rows(plan: Plan, data: TaskData, display: Display) -> None:
    """What can be said once the rows are read, and before a folder is made: targets, sizes, a target task that is drawn."""
    for line in check_targets(plan, data):
        display.note(line)
    if untied := check_ties(plan.tasks, plan.tasks):
        raise EmomtlError(*untied)
    _check_objectives(plan, data)
    plan.sampler.check(data.sizes)
    joint = plan.manifest.sampler.per_step == "all"
    plan.sampler.check_length(Length.of(plan.manifest.train, data.sizes, batch_sizes(plan.manifest), joint).epochs)
    plan.weighting.check(_facts(plan, data))
    if plan.manifest.train.clip_by == "task" and not plan.weighting.sums_losses:
        found = f"'{plan.manifest.weighting.use}' mixes the tasks' gradients itself"
        raise EmomtlError(Problem("train.clip_by", found, 'clip_by = "all", or a weighting that sums losses'))
    target, cycle = plan.manifest.train.target, range(len(data.sizes))
    if target is not None:
        moments = [Moment(step, 0.0, 0, 1, data.sizes, seed=plan.manifest.seed) for step in cycle]
        if not any(plan.sampler.probabilities(moment).get(target, 0.0) for moment in moments):
            remedy = "a run as long as this task's updates would never end: let the sampler draw it, or give `steps`"
            raise EmomtlError(Problem("train.target", f"the sampler never draws '{target}'", remedy))


def _check_processes(plan: Plan, ranks: Ranks) -> None:
    """The number of processes is the one asked for, each has a device, and gradients that a weighting keeps are known."""
    ranks.check(plan.manifest.devices)
    if ranks.world_size == 1:
        return
    if plan.manifest.train.clip_by == "task":
        found = "a process has only its own part of a task's gradient when it would clip it"
        raise EmomtlError(Problem("train.clip_by", found, 'clip_by = "all", or train in one process'))
    if choose_device(plan.manifest.train.device) == "cuda" and ranks.local_rank >= torch.cuda.device_count():
        found = f"process {ranks.local_rank + 1} of a machine that has {torch.cuda.device_count()} CUDA device(s)"
        raise EmomtlError(Problem("devices", found, "as many processes a machine as it has devices"))
    if not plan.weighting.sums_losses and type(plan.weighting).kept_gradients is Weighting.kept_gradients:
        found = f"'{plan.manifest.weighting.use}' fills gradients itself, and does not say which it keeps beside `.grad`"
        raise EmomtlError(Problem("weighting.use", found, "train in one process, or let its author write `kept_gradients`"))


def _check_objectives(plan: Plan, data: TaskData) -> None:
    """Objectives against labels that were learned from the rows; tasks that they compare have to share texts."""
    problems: list[Problem] = []
    for one in plan.objectives.values():
        problems += objective_problems(one, plan.tasks, data.taxonomies)
        for partner in one.objective.partners:
            if data.corpus(partner) is not data.corpus(one.task):
                found = f"'{partner}' and '{one.task}' do not read the same texts"
                problems.append(Problem(f"objectives.{one.name}", found, "tasks of one corpus: give both the same `source`"))
    if problems:
        raise EmomtlError(*problems)


def _machine(manifest: Manifest) -> tuple[str, str]:
    """Device and precision; sets the CPU threads."""
    if manifest.train.threads is not None:
        torch.set_num_threads(manifest.train.threads)
    device = choose_device(manifest.train.device)
    return device, choose_precision(manifest.train.precision, device)
