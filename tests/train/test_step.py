"""One optimiser step: what it computes is what a plain loop computes, however the batch is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from emomtl.train import Session
from emomtl.train.length import rate_factor
from emomtl.train.step import remember, take_step

STILL = {
    "encoder": {"dropout": 0.0},
    "tasks": {
        "mood": {"head": {"dropout": 0.0}},
        "topics": {"head": {"use": "multi-label", "dropout": 0.0}},
    },
    "sampler": {"use": "proportional", "per_step": "all"},
    "weighting": {"use": "equal"},
}


def still(desk: Any, out: str, **train: Any) -> Session:
    """A session without dropout."""
    session: Session = desk.begin(desk.manifest(out, **STILL, train=train), out)
    session.model.train()
    session.run.close()
    return session


def gradients(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """The losses and gradients of one step, whose update is not made."""
    kept = {}

    def keep() -> None:
        kept.update(
            {
                name: p.grad.clone()
                for name, p in session.model.named_parameters()
                if p.grad is not None
            }
        )

    monkeypatch.setattr(session.optimizer, "step", keep)
    done = take_step(session)
    return {task: float(loss) for task, loss in done.losses.items()}, kept


@pytest.mark.parametrize("size", [16, 5], ids=["even parts", "uneven parts"])
def test_four_micro_batches_give_the_losses_and_gradients_of_one(
    desk: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole_losses, whole = gradients(still(desk, "whole", batch_size=size, clip=0.0), monkeypatch)
    cut = still(desk, "cut", batch_size=size, clip=0.0, accumulate=4)
    cut_losses, parts = gradients(cut, monkeypatch)
    assert cut_losses == pytest.approx(whole_losses, abs=1e-6)
    assert parts.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-5, msg=name)


def plain_factor(session: Session, task: str, scale: str) -> float:
    """What a plain loop multiplies the mean loss by: labels for nats, one over the entropy for the
    base rate.
    """
    targets = session.data.rows(task, "train").targets
    if scale == "mean":
        return 1.0
    if scale == "nats":
        return float(targets.shape[1]) if targets.ndim == 2 else 1.0
    if targets.ndim == 1:
        q = np.bincount(targets) / len(targets)
        return float(-1 / (q * np.log(q)).sum())
    p = targets.mean(axis=0, dtype=np.float64)
    return float(-1 / (p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def plain_groups(model: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """What everyone writes: no decay on biases and LayerNorms."""
    no_decay = ("bias", "LayerNorm.weight")
    named = list(model.named_parameters())
    return [
        {"params": [p for n, p in named if not n.endswith(no_decay)], "weight_decay": decay},
        {"params": [p for n, p in named if n.endswith(no_decay)], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("scale", ["nats", "base-rate", "mean"])
def test_twenty_steps_are_those_of_a_plain_loop(desk: Any, scale: str) -> None:
    steps, lr, warmup = 20, 1e-3, 0.1
    ours = still(desk, "ours", steps=steps, weight_decay=0.1, clip=0.5, loss_scale=scale)
    factors = {task: plain_factor(ours, task, scale) for task in ours.plan.tasks}
    other = still(desk, "other", steps=steps)
    encoder: Any = other.model.encoder
    heads: Any = other.model.heads
    optimizer = torch.optim.AdamW(
        plain_groups(other.model, 0.1), lr=lr, betas=(0.9, 0.999), eps=1e-8, foreach=False
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda n: (
            n / (warmup * steps) if n < warmup * steps else (steps - n) / (steps * (1 - warmup))
        ),
    )
    texts = {corpus.name: corpus.splits["train"].texts for corpus in ours.data.corpora}
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(desk.encoder)
    for step in range(steps):
        assert ours.optimizer.param_groups[0]["peak"] == lr
        done = take_step(ours)
        remember(ours, done)
        total, plain = torch.zeros(()), {}
        for task, rows in done.drawing.rows.items():
            chosen = [texts[task][row] for row in rows]
            batch = tokenizer(
                chosen, padding=True, truncation=True, max_length=16, return_tensors="pt"
            )
            states = encoder(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).last_hidden_state
            real = batch["attention_mask"].bool()
            pooled = torch.stack(
                [state[mask].mean(dim=0) for state, mask in zip(states, real, strict=True)]
            )
            targets = torch.from_numpy(ours.data.rows(task, "train").targets[rows])
            linear = heads[task][1]
            logits = pooled @ linear.weight.T + linear.bias
            if task == "mood":
                plain[task] = functional.cross_entropy(logits, targets)
            else:
                plain[task] = functional.binary_cross_entropy_with_logits(logits, targets)
            total = total + factors[task] * plain[task]
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(other.model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        for task, loss in plain.items():
            where = f"{task} at step {step + 1}"
            assert float(done.raw[task]) == pytest.approx(float(loss.detach()), abs=1e-6), where
            scaled = factors[task] * float(loss.detach())
            assert float(done.losses[task]) == pytest.approx(
                scaled, abs=1e-6 * max(1.0, factors[task])
            ), where


def test_groups_decay_matrices_only_and_keep_the_rate_of_their_head(desk: Any) -> None:
    manifest = desk.manifest(
        tasks={"mood": {"head": {"lr": 0.03}}},
        train={"head_lr": 0.02, "weighting_lr": 0.5, "weight_decay": 0.1},
        sampler={"per_step": "all"},
    )
    session = desk.begin(manifest)
    session.run.close()
    seen = set()
    for group in session.optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            seen.add(name)
            plain = parameter.ndim < 2 or name.startswith("weighting.")
            assert group["weight_decay"] == (0.0 if plain else 0.1), name
            head = {"heads.mood": 0.03, "heads.topics": 0.02, "weighting": 0.5}
            rate = next((rate for start, rate in head.items() if name.startswith(start)), 1e-3)
            assert group["peak"] == rate, name
    weighting = [f"weighting.{name}" for name, _ in session.weighting.named_parameters()]
    assert len(weighting) == 2
    assert seen == {name for name, _ in session.model.named_parameters()} | set(weighting)


@pytest.mark.parametrize(
    ("progress", "warmup", "schedule", "factor"),
    [
        (0.0, 0.1, "linear", 0.0),
        (0.05, 0.1, "linear", 0.5),
        (0.1, 0.1, "linear", 1.0),
        (0.55, 0.1, "linear", 0.5),
        (1.0, 0.1, "linear", 0.0),
        (0.0, 0.0, "linear", 1.0),
        (0.25, 0.0, "linear", 0.75),
        (0.05, 0.1, "constant", 0.5),
        (0.9, 0.1, "constant", 1.0),
        (0.0, 0.0, "constant", 1.0),
    ],
)
def test_the_rate_rises_and_falls_in_straight_lines(
    progress: float, warmup: float, schedule: str, factor: float
) -> None:
    assert rate_factor(progress, warmup, schedule) == pytest.approx(factor)


def test_a_step_depends_on_the_seed_and_the_step_and_not_on_torch_s_generator(desk: Any) -> None:
    losses = []
    for noise in (1, 2):
        session = desk.begin(desk.manifest(), f"run-{noise}")
        session.run.close()
        session.model.train()
        torch.manual_seed(noise)
        losses.append({task: float(loss) for task, loss in take_step(session).losses.items()})
    assert losses[0] == losses[1]
    other = desk.begin(desk.manifest(seed=6), "run-3")
    other.run.close()
    assert {task: float(loss) for task, loss in take_step(other).losses.items()} != losses[0]


def test_a_head_starts_the_same_whatever_other_tasks_there_are(desk: Any) -> None:
    both = desk.begin(desk.manifest(), "both")
    one = desk.begin(desk.manifest("one", tasks={"mood": None}), "one")
    for session in (both, one):
        session.run.close()
    assert torch.equal(both.model.heads["topics"][1].weight, one.model.heads["topics"][1].weight)
    assert not torch.equal(
        both.model.heads["topics"][1].weight[:3], both.model.heads["mood"][1].weight
    )


def test_the_gradient_norm_that_is_logged_is_the_one_before_clipping(desk: Any) -> None:
    run = desk.train(desk.manifest(train={"clip": 1e-3, "log_every": 1, "steps": 3}))
    norms = [event["grad_norm"] for event in run.events() if event["event"] == "step"]
    assert len(norms) == 3
    assert np.min(norms) > 0.01
