"""A run that starts from one whose encoder was changed: by PALs, by LoRA, by a stranger's change,
or by freezing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl.errors import EmomtlError
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train import Display

PALS = {"use": "pals", "rank": 6, "heads": 3}
LORA = {"use": "lora", "r": 2, "targets": ["query", "dense"], "dropout": 0.0}
OTHER = {"use": "table", "source": "mood.csv", "options": {"split": "part"}}


class Notes(Display):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return open_checkpoint(find_checkpoint(run, "last").resolve()).tensors("model")


def first(desk: Any, *changes: dict[str, Any]) -> Run:
    """A trained run with these changes of the encoder."""
    run: Run = desk.train(desk.manifest("first", encoder={"changes": list(changes)}), "first")
    return run


def begun(
    desk: Any, *changes: dict[str, Any], heads: bool = False, **more: Any
) -> tuple[Any, list[str]]:
    """The session of a run that starts from `first`, closed, and what it noted of the start."""
    display = Notes()
    table = {"run": "first", "checkpoint": "last", "heads": heads}
    session = desk.begin(
        desk.manifest(encoder={"changes": list(changes)}, start=table, **more),
        "second",
        display=display,
    )
    session.run.close()
    return session, [line for line in display.notes if line.startswith("start.")]


def vectors(session: Any, task: str | None = None) -> torch.Tensor:
    """What the encoder makes of two texts, for a task."""
    session.model.eval()
    inputs = {
        "input_ids": torch.arange(8, 32).view(2, 12),
        "attention_mask": torch.ones(2, 12, dtype=torch.long),
    }
    found: torch.Tensor = session.model.encode(inputs, task).detach()
    return found


@pytest.mark.parametrize("heads", [False, True])
def test_a_run_without_pals_takes_what_tasks_share_and_leaves_pals_behind(
    desk: Any, heads: bool
) -> None:
    kept = weights(first(desk, PALS))
    session, notes = begun(desk, heads=heads)
    state = session.model.state_dict()
    shared = [
        name
        for name in kept
        if name.startswith("encoder.") and not name.startswith("encoder.pals.")
    ]
    assert len(shared) > 20
    assert all(torch.equal(state[name], kept[name]) for name in shared)
    assert not any(name.startswith("encoder.pals.") for name in state)
    own = [name for name in state if name.startswith("heads.") and state[name].ndim > 1]
    assert all(torch.equal(state[name], kept[name]) == heads for name in own)
    assert session.run.environment["start"]["changes"] == {"pals": "left behind"}
    assert len(notes) == 1
    assert "'pals' is left behind, as it belongs to single tasks (mood, topics)" in notes[0]


@pytest.mark.parametrize("change", [PALS, LORA | {"per_task_adapters": True}])
@pytest.mark.parametrize("heads", [False, True])
def test_a_tasks_own_part_goes_to_the_task_of_its_name(
    desk: Any, change: dict[str, Any], heads: bool
) -> None:
    kept = weights(first(desk, change))
    tasks = {"topics": None, "other": OTHER}
    plain = desk.begin(desk.manifest("plain", encoder={"changes": [change]}, tasks=tasks), "plain")
    plain.run.close()
    session, notes = begun(desk, change, heads=heads, tasks=tasks)
    state, fresh = session.model.state_dict(), plain.model.state_dict()
    encoder = [name for name in state if name.startswith("encoder.")]
    mine, others = ([name for name in encoder if f".{task}." in name] for task in ("mood", "other"))
    assert mine
    assert all(torch.equal(state[name], kept[name]) for name in encoder if name not in others)
    assert not all(torch.equal(state[name], fresh[name]) for name in mine)
    assert all(torch.equal(state[name], fresh[name]) for name in others)
    assert not any(".topics." in name for name in state)
    said = [line for line in notes if "start.run" in line]
    assert said == [
        f"start.run: that run's '{change['use']}' is carried over for mood; left behind for topics;"
        " fresh for other"
    ]


def test_shared_lora_is_merged_for_a_run_without_it(desk: Any) -> None:
    run = first(desk, LORA)
    kept = weights(run)
    session, notes = begun(desk)
    name = "encoder.encoder.layer.0.attention.self.query"
    update = kept[f"{name}.lora_B.shared.weight"] @ kept[f"{name}.lora_A.shared.weight"]
    merged = kept[f"{name}.base_layer.weight"] + (16 / 2) * update
    assert update.abs().max() > 0
    torch.testing.assert_close(session.model.state_dict()[f"{name}.weight"], merged)
    again = desk.begin(desk.folder / "first.toml", "first", resume=True)
    again.run.close()
    torch.testing.assert_close(vectors(session), vectors(again), atol=1e-5, rtol=1e-5)
    assert notes == ["start.run: that run's 'lora' is merged into the encoder's weights"]


def test_the_same_lora_is_carried_over_and_another_begins_fresh_above_the_merged(desk: Any) -> None:
    kept = weights(first(desk, LORA))
    session, notes = begun(desk, LORA)
    state = session.model.state_dict()
    assert all(torch.equal(state[name], kept[name]) for name in kept if name.startswith("encoder."))
    assert notes == ["start.run: that run's 'lora' is carried over"]
    plain, _ = begun_again(desk, "plain")
    other, notes = begun_again(desk, "third", LORA | {"r": 3})
    assert notes == [
        "start.run: that run's 'lora' is merged into the encoder's weights; this run's 'lora' has"
        " other options and begins fresh"
    ]
    torch.testing.assert_close(vectors(other), vectors(plain), atol=1e-5, rtol=1e-5)


def begun_again(desk: Any, name: str, *changes: dict[str, Any]) -> tuple[Any, list[str]]:
    """As `begun`, in another folder."""
    display = Notes()
    manifest = desk.manifest(
        name, encoder={"changes": list(changes)}, start={"run": "first", "checkpoint": "last"}
    )
    session = desk.begin(manifest, name, display=display)
    session.run.close()
    return session, [line for line in display.notes if line.startswith("start.")]


def test_a_run_may_add_what_the_other_lacks_and_freezing_says_nothing(desk: Any) -> None:
    kept = weights(first(desk, {"use": "frozen", "layers": 1}))
    session, notes = begun(desk, LORA)
    state = session.model.state_dict()
    name = "encoder.encoder.layer.0.attention.self.query"
    assert torch.equal(state[f"{name}.base_layer.weight"], kept[f"{name}.weight"])
    assert notes == []


STRANGE = """
from dataclasses import dataclass
from emomtl import Applied, EncoderChange, hookimpl

@dataclass(frozen=True)
class Shift(EncoderChange):
    size: float = 0.5

    def apply(self, encoder, pretrained, switch):
        import torch
        encoder.shift = torch.nn.Parameter(torch.full((encoder.config.hidden_size,), self.size))

        def shifted(module, args, output):
            output.last_hidden_state = output.last_hidden_state + encoder.shift
            return output

        encoder.register_forward_hook(shifted)
        return Applied()

@hookimpl
def emomtl_encoder_changes():
    return {"shift": Shift}
"""


def test_what_all_tasks_share_and_cannot_be_merged_is_refused_with_both_readings(
    desk: Any, install: Callable[..., None]
) -> None:
    install("emomtl-shift", {"emomtl_shift": STRANGE}, {"shift": "emomtl_shift"})
    kept = weights(first(desk, {"use": "shift"}))
    with pytest.raises(
        EmomtlError,
        match=r"start\.run: .*'shift' and the options {'size': 0\.5}, this run has no such change",
    ):
        begun(desk)
    with pytest.raises(
        EmomtlError, match=r"{'size': 0\.5}, this run's has the options {'size': 0\.25}"
    ) as caught:
        begun(desk, {"use": "shift", "size": 0.25})
    assert "with the same options" in caught.value.problems[0].remedy
    assert not (desk.folder / "second").exists()
    session, notes = begun(desk, {"use": "shift"})
    assert torch.equal(session.model.state_dict()["encoder.shift"], kept["encoder.shift"])
    assert notes == ["start.run: that run's 'shift' is carried over"]


def test_a_change_whose_plugin_is_gone_is_said_of_the_start(
    desk: Any, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("emomtl-shift", {"emomtl_shift": STRANGE}, {"shift": "emomtl_shift"})
    first(desk, {"use": "shift"})
    monkeypatch.setattr(
        "sys.path", [path for path in __import__("sys").path if "site-emomtl-shift" not in path]
    )
    with pytest.raises(
        EmomtlError, match=r"start\.run: that run's encoder\.changes\[0\].*'shift' is not installed"
    ):
        begun(desk)


def test_a_run_from_pals_is_resumed_without_the_other(desk: Any, contents: Any) -> None:
    import shutil

    run = first(desk, PALS)
    manifest = desk.manifest(
        encoder={"changes": [PALS]}, tasks={"topics": None}, start={"run": "first", "heads": True}
    )
    unbroken = contents(desk.train(manifest, "unbroken"))
    with pytest.raises(KeyboardInterrupt):
        desk.train(manifest, "broken", plugins=desk.stopping(step=2))
    shutil.rmtree(run.folder)
    assert contents(desk.train(manifest, "broken", resume=True)) == unbroken
