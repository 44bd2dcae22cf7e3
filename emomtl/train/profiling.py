"""Where a run's time goes: phases on the clock, tokens, and the model's arithmetic against what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from emomtl.model.device import arithmetic
from emomtl.safety.files import write_json
from emomtl.train.phases import Phases

if TYPE_CHECKING:
    from emomtl.train.draw import Drawing
    from emomtl.train.session import Session

FILE = "profile.json"
MODEL = ("forward", "backward", "optimiser")
"""Phases of a step that are the model's and the optimiser's arithmetic."""

BESIDE = ("evaluation", "checkpoint")
"""Phases that are no part of a step."""

PHASES = ("draw", *MODEL, "logging", *BESIDE, "other")
MATMUL_SECONDS = 0.3


class Profile(Phases):
    """Seconds by phase, and tokens. A phase inside another interrupts it: no second counts twice.

    On CUDA the device is waited for at every border of a phase, so that each phase has its own arithmetic. With `per_task` a
    text counts once for each task that encodes it.
    """

    def __init__(self, device: str, per_task: bool = False) -> None:
        self.device, self.per_task = device, per_task
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.steps = self.micro = self.texts = self.real = self.padded = self.squares = 0
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """The context of a phase, one of PHASES."""
        self._mark()
        self._open.append(name)
        try:
            yield
        finally:
            self._mark()
            self._open.pop()

    def _mark(self) -> None:
        """Give the time since the last border to the phase that is open."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def saw(self, drawing: Drawing) -> None:
        """Count the tokens that a step encodes: real, with padding, and the sum of squared lengths that attention costs."""
        self.steps += 1
        for part in (part for parts in drawing.micro for part in parts):
            mask = part.inputs["attention_mask"]
            for rows in [len(targets) for targets in part.targets.values()] if self.per_task else [part.rows]:
                lengths = mask[:rows].sum(axis=1)
                self.micro += 1
                self.texts += len(lengths)
                self.real += int(lengths.sum())
                self.padded += mask[:rows].size
                self.squares += int((lengths**2).sum())

    def report(self, session: Session) -> dict[str, Any]:
        """What `profile.json` holds; the machine's matrix rate is measured here.

        The model's FLOPs are 6 N D + 12 L W sum(T^2): N the encoder's parameters without embeddings, D real tokens, L layers,
        W the width, T the real tokens of each text; forward and backward together (Kaplan et al. 2020, section 2.1;
        Chowdhery et al. 2022 (PaLM), appendix B), less what the last layer spares where first tokens alone are read. Rates are
        over the time of steps, without evaluations and checkpoints.
        """
        config: Any = session.model.encoder.config
        width, layers = int(config.hidden_size), int(config.num_hidden_layers)
        total = sum(self.seconds.values())
        stepping = total - sum(self.seconds[name] for name in BESIDE)
        flops = 6 * non_embedding_parameters(session.model.encoder) * self.real + 12 * layers * width * self.squares
        if session.model.first_token is not None:
            flops -= 6 * session.model.first_token.parameters * (self.real - self.texts) + 12 * width * (self.squares - self.real)
        inner = int(getattr(config, "intermediate_size", 4 * width))
        machine = matrix_rate(max(1, self.padded // max(1, self.micro)), width, inner, session.device, session.precision)
        return {
            "steps": self.steps,
            "last_step": session.state.step,
            "device": session.device,
            "precision": session.precision,
            "threads": torch.get_num_threads(),
            "seconds": {**self.seconds, "total": total},
            "shares": {name: spent / total for name, spent in self.seconds.items()},
            "overhead_share": 1 - sum(self.seconds[name] for name in MODEL) / stepping,
            "tokens": {"real": self.real, "padded": self.padded},
            "padding_share": 1 - self.real / self.padded,
            "tokens_per_second": {"real": self.real / stepping, "padded": self.padded / stepping},
            "listeners": [asdict(listener) for listener in session.plan.plugins.events.listener_times],
            "model_flops": flops,
            "model_flops_per_second": flops / stepping,
            "machine_flops_per_second": machine,
            "model_flops_utilisation": flops / stepping / machine,
        }


@contextmanager
def profiled(session: Session) -> Iterator[dict[str, Any]]:
    """Time the training inside; gives what will be filled with the report, which is also written into the run as `profile.json`.

    A run that is stopped has its profile, too; one that takes no step has none.
    """
    profile, report = Profile(session.device, session.model.changes.per_task), dict[str, Any]()
    session.phases = profile
    try:
        yield report
    finally:
        if profile.steps:
            report |= profile.report(session)
            write_json(session.run.folder / FILE, report)


def non_embedding_parameters(module: torch.nn.Module) -> int:
    """Parameters of a module without those of its embeddings, which are looked up and not multiplied with."""
    looked_up = {id(p) for part in module.modules() if isinstance(part, torch.nn.Embedding) for p in part.parameters()}
    return sum(p.numel() for p in module.parameters() if id(p) not in looked_up)


def matrix_rate(rows: int, width: int, inner: int, device: str, precision: str) -> float:
    """FLOPs per second of plain matrix products in a layer's shapes, (rows, width) x (width, width | inner) and back.

    Measured for a third of a second, with the threads and the precision of the run; random numbers are its own.
    """
    draw = torch.Generator().manual_seed(0)
    x, square, up, down = (
        torch.rand(shape, generator=draw).to(device) for shape in ((rows, width), (width, width), (width, inner), (inner, width))
    )

    def layer() -> None:
        for _ in range(4):
            x @ square
        (x @ up) @ down
        if device == "cuda":
            torch.cuda.synchronize()

    times = 0
    with torch.inference_mode(), arithmetic(device, precision):
        layer()
        began = time.perf_counter()
        while times < 3 or time.perf_counter() - began < MATMUL_SECONDS:
            layer()
            times += 1
        spent = time.perf_counter() - began
    return times * 2 * rows * width * (4 * width + 2 * inner) / spent
