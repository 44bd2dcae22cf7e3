"""Where a run's time goes: seconds by phase, tokens, and FLOPs against the machine's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from emomtl.model.device import arithmetic
from emomtl.safety.files import write_json
from emomtl.train.display import Phases

if TYPE_CHECKING:
    from emomtl.model.network import MultiTaskModel
    from emomtl.train.draw import Drawing
    from emomtl.train.session import Session

FILE = "profile.json"

STEP_PHASES = ("forward", "backward", "optimiser")
"""Phases of a step that are arithmetic of the model and the optimiser."""

OTHER_PHASES = ("evaluation", "checkpoint")
"""Phases that are no part of a step."""

PHASES = ("draw", *STEP_PHASES, "logging", *OTHER_PHASES, "other")

MATMUL_SECONDS = 0.3


class Profile(Phases):
    """Seconds by phase, and tokens. A phase inside another interrupts it: no second counts twice.

    On CUDA each border of a phase waits for the device, so that a phase has its own arithmetic.
    With `per_task` a text counts once for each task that encodes it.
    """

    def __init__(self, device: str, per_task: bool = False) -> None:
        self.device, self.per_task = device, per_task
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.steps = self.batches = self.texts = 0
        self.real = self.padded = self.squares = 0
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """The context of a phase, one of PHASES."""
        self._count_time()
        self._open.append(name)
        try:
            yield
        finally:
            self._count_time()
            self._open.pop()

    def _count_time(self) -> None:
        """Add the time since the last border to the phase that is open."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def saw(self, drawing: Drawing) -> None:
        """Count what a step encodes: real tokens, those with padding, and squared lengths."""
        self.steps += 1
        for parts in drawing.micro:
            for part in parts:
                mask = part.inputs["attention_mask"]
                row_counts = [len(targets) for targets in part.targets.values()]
                for rows in row_counts if self.per_task else [part.rows]:
                    lengths = mask[:rows].sum(axis=1)
                    self.batches += 1
                    self.texts += len(lengths)
                    self.real += int(lengths.sum())
                    self.padded += mask[:rows].size
                    self.squares += int((lengths**2).sum())

    def model_flops(self, model: MultiTaskModel) -> int:
        """FLOPs of forward and backward passes over the tokens that were counted.

        6 N D + 12 L W sum(T^2), with N the encoder's parameters without embeddings, D real tokens,
        L layers, W the width, and T the real tokens of each text (Kaplan et al. 2020,
        arXiv:2001.08361, section 2.1; Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B).
        Where the last layer is computed for first tokens alone, less what that saves.
        """
        config: Any = model.encoder.config
        width, layers = int(config.hidden_size), int(config.num_hidden_layers)
        parameters = non_embedding_parameters(model.encoder)
        flops = 6 * parameters * self.real + 12 * layers * width * self.squares
        if model.first_token is not None:
            # One query a text is left in the last layer: T of its T^2 products, 1 of its T tokens.
            flops -= 6 * model.first_token.parameters * (self.real - self.texts)
            flops -= 12 * width * (self.squares - self.real)
        return flops

    def report(self, session: Session) -> dict[str, Any]:
        """The content of `profile.json`; the machine's matrix rate is measured here.

        Rates are over the time of steps, without evaluations and checkpoints.
        """
        model, device, precision = session.model, session.losses.device, session.losses.precision
        total = sum(self.seconds.values())
        stepping = total - sum(self.seconds[name] for name in OTHER_PHASES)
        flops = self.model_flops(model)
        rows = max(1, self.padded // max(1, self.batches))
        config: Any = model.encoder.config
        width = int(config.hidden_size)
        inner = int(getattr(config, "intermediate_size", 4 * width))
        machine_rate = matrix_rate(rows, width, inner, device, precision)
        arithmetic_seconds = sum(self.seconds[name] for name in STEP_PHASES)
        return {
            "steps": self.steps,
            "last_step": session.state.step,
            "device": device,
            "precision": precision,
            "threads": torch.get_num_threads(),
            "seconds": {**self.seconds, "total": total},
            "shares": {name: seconds / total for name, seconds in self.seconds.items()},
            "overhead_share": 1 - arithmetic_seconds / stepping,
            "tokens": {"real": self.real, "padded": self.padded},
            "padding_share": 1 - self.real / self.padded,
            "tokens_per_second": {"real": self.real / stepping, "padded": self.padded / stepping},
            "listeners": [asdict(times) for times in session.plan.plugins.events.listener_times],
            "model_flops": flops,
            "model_flops_per_second": flops / stepping,
            "machine_flops_per_second": machine_rate,
            "model_flops_utilisation": flops / stepping / machine_rate,
        }


@contextmanager
def profiled(session: Session) -> Iterator[dict[str, Any]]:
    """Time the training inside; the dictionary it gives is filled with the report at the end.

    The report is also written into the run as `profile.json`, even where the run is stopped. A run
    that takes no step has none.
    """
    profile = Profile(session.losses.device, session.model.changes.per_task)
    report: dict[str, Any] = {}
    session.phases = profile
    try:
        yield report
    finally:
        if profile.steps:
            report |= profile.report(session)
            write_json(session.run.folder / FILE, report)


def non_embedding_parameters(module: torch.nn.Module) -> int:
    """Parameters without those of embeddings, which are looked up and not multiplied with."""
    embeddings = [part for part in module.modules() if isinstance(part, torch.nn.Embedding)]
    looked_up = {id(parameter) for part in embeddings for parameter in part.parameters()}
    return sum(p.numel() for p in module.parameters() if id(p) not in looked_up)


def matrix_rate(rows: int, width: int, inner: int, device: str, precision: str) -> float:
    """FLOPs per second of plain matrix products in a layer's shapes, measured for 0.3 seconds.

    (rows, width) x (width, width), four times, then (rows, width) x (width, inner) and back, with
    the threads and the precision of the run.
    """
    draw = torch.Generator().manual_seed(0)  # torch's own generator stays as it is
    shapes = ((rows, width), (width, width), (width, inner), (inner, width))
    x, square, up, down = (torch.rand(shape, generator=draw).to(device) for shape in shapes)

    def layer() -> None:
        for _ in range(4):
            x @ square
        (x @ up) @ down
        if device == "cuda":
            torch.cuda.synchronize()

    times = 0
    with torch.inference_mode(), arithmetic(device, precision):
        layer()  # the first call is slower
        began = time.perf_counter()
        while times < 3 or time.perf_counter() - began < MATMUL_SECONDS:
            layer()
            times += 1
        seconds = time.perf_counter() - began
    # A product of (a, b) x (b, c) takes 2 a b c FLOPs.
    return times * 2 * rows * width * (4 * width + 2 * inner) / seconds
