"""What holds for every module and every offer of our plugins."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import tomli
from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

import emomtl
import emomtl_plugins
from emomtl import MultiLabel, Regression, SingleLabel

PROJECT = Path(__file__).parents[2]
SOURCES = sorted(Path(emomtl_plugins.__file__).parent.rglob("*.py"))
HOOKS = (
    "emomtl_samplers",
    "emomtl_weightings",
    "emomtl_heads",
    "emomtl_encoder_changes",
    "emomtl_objectives",
    "emomtl_features",
    "emomtl_encoders",
)


def test_every_offer_has_an_entry_point_that_names_its_module(offered):
    declared = tomli.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "entry-points"
    ]["emomtl"]
    ours = {
        name: module for name, module in declared.items() if module.startswith("emomtl_plugins.")
    }
    modules = {}
    for hook in (*HOOKS, "emomtl_exporters"):
        modules |= {name: module for name, (module, _) in offered(hook).items()}
    assert modules == ours


def test_importing_every_plugin_imports_nothing_heavy():
    code = """
import importlib, pkgutil, sys, emomtl_plugins
for module in pkgutil.walk_packages(emomtl_plugins.__path__, "emomtl_plugins."):
    importlib.import_module(module.name)
heavy = ["torch", "transformers", "datasets", "numpy", "sklearn", "pandas", "pyarrow", "scipy"]
heavy += ["matplotlib"]
print(",".join(name for name in heavy if name in sys.modules))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_plugin_takes_only_public_names_of_emomtl(source):
    taken = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == "emomtl"
        ):
            assert node.module == "emomtl"
            taken |= {name.name for name in node.names}
        if isinstance(node, ast.Import):
            assert not any(name.name.split(".")[0] == "emomtl" for name in node.names)
    assert taken <= set(emomtl.__all__)


def _read(offer: Any, options: dict[str, Any]) -> Any:
    """The offer made from a table of a manifest, its options checked strictly against the fields'
    annotations.
    """
    hints = get_type_hints(offer, include_extras=True)
    fields = {
        field.name: (hints[field.name], _default(field)) for field in dataclasses.fields(offer)
    }
    model = create_model("Options", __config__=ConfigDict(strict=True, extra="forbid"), **fields)
    return offer(
        **{name: value for name, value in model.model_validate(options) if name in options}
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    return ... if field.default is dataclasses.MISSING else field.default


def _configurable(offered: Any) -> dict[str, Any]:
    return {name: offer for hook in HOOKS[:-1] for name, (_, offer) in offered(hook).items()}


def test_every_configurable_offer_is_a_documented_frozen_dataclass(offered):
    for name, offer in _configurable(offered).items():
        assert dataclasses.is_dataclass(offer), name
        assert offer.__dataclass_params__.frozen, name
        assert offer.__doc__, name
        assert not offer.__doc__.startswith(f"{offer.__name__}("), (
            f"{name} has no docstring but the one that dataclass makes"
        )
        assert not inspect.isabstract(offer), name


def test_every_option_is_explained_where_it_is_declared(offered):
    for hook in (
        "emomtl_samplers",
        "emomtl_weightings",
        "emomtl_encoder_changes",
        "emomtl_objectives",
        "emomtl_features",
    ):
        for name, (_, offer) in offered(hook).items():
            for field in dataclasses.fields(offer):
                assert f"`{field.name}" in offer.__doc__, (name, field.name)


def test_options_can_be_described_by_a_json_schema(offered):
    for name, offer in _configurable(offered).items():
        described = TypeAdapter(offer).json_schema().get("properties", {})
        assert set(described) == {field.name for field in dataclasses.fields(offer)}, name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniform", {"alpha": 0.5}),
        ("power", {"alpha": "1"}),
        ("power", {"alpha": 1.5}),
        ("power", {"alpha": float("nan")}),
        ("temperature", {"temperature": 0.5}),
        ("temperature", {"cap": 0}),
        ("annealed", {"start": -0.1}),
        ("annealed", {"by": "step"}),
        ("explicit", {}),
        ("explicit", {"shares": {"sst-2": -1.0}}),
        ("static", {"weights": {"sst-2": -1.0}}),
        ("dwa", {"temperature": 0.0}),
        ("dwa", {"window": 0}),
        ("random", {"total": "two"}),
        ("task-prioritisation", {"smoothing": 0.0}),
        ("task-prioritisation", {"gamma": -1.0}),
        ("uncertainty", {"init": float("inf")}),
        ("pals", {"rank": 0}),
        ("lora", {"r": 0}),
        ("lora", {"dropout": 1.0}),
        ("frozen", {"layers": -1}),
        ("shallow", {"layers": 0}),
        ("gradual", {"until": 0.0}),
        ("gradual", {"by": "step"}),
        ("supervised-contrastive", {"temperature": 0.0}),
        ("label-aware-contrastive", {"weights": "lexicon"}),
        ("hierarchical", {"fold": "mean"}),
        ("lexicon", {"method": "slda"}),
        ("lexicon", {"share": 1.0}),
        ("lexicon", {"min_rows": 0}),
    ],
)
def test_an_option_out_of_its_range_is_refused(offered, name, options):
    with pytest.raises(ValidationError):
        _read(_configurable(offered)[name], options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("power", {"alpha": 0}),
        ("temperature", {"temperature": 5, "cap": 10_000}),
        ("annealed", {"start": 1.0, "end": 0.0, "by": "epoch"}),
        ("explicit", {"shares": {"sst-2": 1, "goemotions": 0.5}}),
        ("dwa", {"window": 25}),
        ("pals", {"rank": 12, "heads": 3}),
        ("lora", {"r": 4, "targets": ("query",), "per_task_adapters": True}),
        ("frozen", {"layers": 0}),
        ("shallow", {"layers": 1}),
        ("gradual", {"start": 1, "until": 1.0, "by": "epoch"}),
        ("task-prioritisation", {"metric": {"sst-2": "top1_accuracy"}, "normalise": False}),
    ],
)
def test_an_option_within_its_range_is_taken_as_it_is(offered, name, options):
    made = _read(_configurable(offered)[name], options)
    assert {key: getattr(made, key) for key in options} == options


def test_heads_are_offered_under_their_kinds(offered):
    found = {name: offer for name, (_, offer) in offered("emomtl_heads").items()}
    assert {name: offer.kind for name, offer in found.items()} == {name: name for name in found}
    assert {
        **found,
        "single-label": SingleLabel,
        "multi-label": MultiLabel,
        "regression": Regression,
    } == found
