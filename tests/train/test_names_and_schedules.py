"""Names that torch has for itself are names like others, and gradients are mixed among what is
open.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from emomtl.plugins.discovery import Plugins
from emomtl.train.step import remember, take_step

NAMES = [
    "values",
    "type",
    "train",
    "keys",
    "items",
    "forward",
    "weight",
    "training",
    "_get_name"[1:],
    "T_destination",
]
OPTIONS = {"split": "part"}


def named(desk: Any, *names: str, **more: Any) -> Any:
    task = {"use": "table", "source": "mood.csv", "options": OPTIONS}
    tasks = {"mood": None, "topics": None, **dict.fromkeys(names, task)}
    return desk.manifest(tasks=tasks, sampler={"use": "uniform", "per_step": "all"}, **more)


@pytest.mark.parametrize(
    "changes", [[], [{"use": "pals", "rank": 8, "heads": 2}]], ids=["plain", "pals"]
)
def test_tasks_and_objectives_may_have_the_names_of_torch_s_methods(
    desk: Any, cli: Any, changes: Any
) -> None:
    objectives = {"pop": {"use": "supervised-contrastive", "task": "type"}}
    short = {"train": {"steps": 2}, "eval": {"every": 2}}
    manifest = named(desk, *NAMES, encoder={"changes": changes}, objectives=objectives, **short)
    said = cli("check", manifest)
    assert said.code == 0, said.err
    run = desk.train(manifest)
    assert cli("eval", run.folder, "--json").code == 0
    found = cli("predict", run.folder, "so happy", "--json")
    assert found.code == 0, found.err
    assert cli("report", run.folder).code == 0
    desk.train(manifest, resume=True)


def test_the_tensors_of_ordinary_names_are_called_as_before(desk: Any) -> None:
    session = desk.begin(
        desk.manifest(
            objectives={"near": {"use": "supervised-contrastive", "task": "mood", "projection": 4}}
        )
    )
    session.run.close()
    heads = [name for name in session.model.state_dict() if name.startswith("heads.")]
    assert heads == [
        "heads.mood.1.weight",
        "heads.mood.1.bias",
        "heads.topics.1.weight",
        "heads.topics.1.bias",
    ]
    plain = torch.nn.ModuleDict(session.model.heads.items())
    assert list(plain.state_dict()) == [name.removeprefix("heads.") for name in heads]
    assert [name for name in session.model.state_dict() if name.startswith("objectives.near.")]


METHODS = [
    name
    for name, offer in sorted(Plugins.discover().offers("weighting").items())
    if "scope" in getattr(offer.value, "__dataclass_fields__", {})
]


@pytest.mark.parametrize("scope", ["last-layer", "all"])
@pytest.mark.parametrize("weighting", METHODS)
def test_a_layer_that_gradual_has_closed_does_not_move_under_any_weighting(
    desk: Any, weighting: str, scope: str
) -> None:
    manifest = desk.manifest(
        encoder={"changes": [{"use": "gradual", "until": 1.0}]},
        sampler={"use": "uniform", "per_step": "all"},
        weighting={"use": weighting, "scope": scope},
        train={"steps": 6, "weight_decay": 0.5, "warmup": 0.0},
    )
    session = desk.begin(manifest)
    session.run.close()
    session.model.train()
    for _ in range(4):
        before = {
            name: value.detach().clone() for name, value in session.model.encoder.named_parameters()
        }
        remember(session, take_step(session))
        for name, parameter in session.model.encoder.named_parameters():
            assert parameter.requires_grad or torch.equal(parameter, before[name]), name
    opened = [
        name
        for name, parameter in session.model.encoder.named_parameters()
        if parameter.requires_grad
    ]
    assert any("layer" in name for name in opened)
    assert any(
        not torch.equal(dict(session.model.encoder.named_parameters())[name], before[name])
        for name in opened
    )


FAILING = """
from emomtl import Weighting, hookimpl

class Failing(Weighting):
    def combine(self, state, losses, moment):
        raise KeyError("no such task")

@hookimpl
def emomtl_weightings():
    return {"failing": Failing}
"""


def test_check_takes_a_step_by_default_and_says_where_it_fails(desk: Any, cli: Any) -> None:
    (desk.folder / "failing.py").write_text(FAILING)
    manifest = desk.manifest(plugins=["./failing.py"], weighting={"use": "failing"})
    said = cli("check", manifest)
    assert said.code == 1
    (line,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert "failing.py:6: a step of this run fails: KeyError: 'no such task'" in line
    assert cli("check", manifest, "--no-step").code == 0
