"""Everything that a user can name is in the documentation: hooks, keys, commands, options, names,
offers, metrics, files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli
from packaging.requirements import Requirement

import emomtl
import emomtl.testing
from emomtl import MultiLabel, Regression, SingleLabel, Taxonomy
from emomtl.cli.app import commands
from emomtl.contracts import hookspecs
from emomtl.manifest import Manifest, option_model
from emomtl.metrics.scoring import metric_names
from emomtl.metrics.tuning import WAYS, tuned_metric, tuned_names
from emomtl.plugins.discovery import Plugins
from emomtl.plugins.offers import KINDS
from emomtl.run import Run, directory, lock
from emomtl_plugins.heads.masked_tokens import MaskedTokens

ROOT = Path(__file__).resolve().parents[2]
HOOKS = [name for name in vars(hookspecs) if name.startswith("emomtl_")]
COMMANDS = commands()
WHERE = {
    "sampler": "docs/concepts.md",
    "weighting": "docs/weighting.md",
    "head": "docs/concepts.md",
    "objective": "docs/losses.md",
    "task": "docs/data.md",
    "encoder": "docs/reference/manifest.md",
    "change": "docs/recipes.md",
    "feature": "docs/corpora.md",
    "analysis": "docs/analyses.md",
    "manifest": "docs/reference/manifest.md",
    "study": "docs/reference/studies.md",
    "claims": "docs/reference/studies.md",
    "exporter": "docs/using.md",
}
"""The page that tells of the offers of a kind, beside the reference."""


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_explained_and_has_a_section(text_of: dict[str, str], hook: str) -> None:
    assert f"## `{hook}`" in text_of["docs/reference/hooks.md"]
    assert f"`{hook}`" in text_of["docs/plugins.md"]


@pytest.mark.parametrize("name", [*emomtl.__all__, *emomtl.testing.__all__])
def test_every_public_name_has_a_section(text_of: dict[str, str], name: str) -> None:
    assert f"### `{name}`" in text_of["docs/reference/python.md"]


def test_every_manifest_key_has_a_row_under_its_table(text_of: dict[str, str]) -> None:
    sections = _sections(text_of["docs/reference/manifest.md"])
    schema = Manifest.model_json_schema()
    titles = {name: f"`[{name}]`" for name in schema["properties"]}
    titles |= {name: f"`[{name}.NAME]`" for name in ("tasks", "objectives", "features")}
    lacking = []
    for name, node in schema["properties"].items():
        node = node.get("additionalProperties") or next(
            iter(node.get("patternProperties", {}).values()), node
        )
        node = next((choice for choice in node.get("anyOf", ()) if "$ref" in choice), node)
        if isinstance(node, dict) and "$ref" in node:
            table = schema["$defs"][node["$ref"].rpartition("/")[2]]
            section = sections.get(titles[name], "")
            lacking += [
                f"{name}.{key}" for key in table["properties"] if f"| `{key}` |" not in section
            ]
        elif f"| `{name}` |" not in sections["Keys outside of tables"]:
            lacking.append(name)
    assert lacking == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_offer_and_its_options_are_documented(
    text_of: dict[str, str], plugins: Plugins, kind: str
) -> None:
    offers = plugins.offers(kind)
    assert offers
    assert plugins.broken == {}
    other = text_of[WHERE[kind]]
    if kind == "analysis":  # their options are those of commands
        assert [name for name in offers if f"`emomtl analyse {name}`" not in other] == []
        return
    reference = (
        text_of["docs/reference/manifest.md"]
        if kind not in ("study", "claims", "exporter")
        else other
    )
    lacking = [name for name in offers if f"`{name}`" not in reference or f"`{name}`" not in other]
    sections = _sections(reference)
    for name, offer in offers.items():
        if isinstance(offer.value, type):
            options = option_model(offer.value).model_json_schema().get("properties", {})
            lacking += [
                f"{name}.{option}"
                for option in options
                if f"| `{option}` |" not in sections[f"`{name}`"]
            ]
    assert lacking == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(text_of: dict[str, str], name: str) -> None:
    section = _sections(text_of["docs/reference/commands.md"])[f"`emomtl {name}`"]
    found = COMMANDS[name]
    assert found.help
    assert found.help in section
    for parameter in found.params:
        for option in (
            [*parameter.opts, *parameter.secondary_opts]
            if parameter.param_type_name == "option"
            else ()
        ):
            assert f"`{option}" in section, option
            assert parameter.help, option
    elsewhere = "".join(text for page, text in text_of.items() if "/reference/" not in page)
    assert f"emomtl {name}" in elsewhere or f"`{name}`" in elsewhere


def _metrics() -> set[str]:
    """The names that our heads give, with dimensions and groupings put generally."""
    taxonomy = Taxonomy(["a", "b"])
    names = {
        *metric_names(MultiLabel(), taxonomy),
        *metric_names(SingleLabel(ordinal=True, soft=True), taxonomy),
        *metric_names(Regression(), None),
    }
    names |= {*metric_names(MaskedTokens(), None)}
    several = metric_names(Regression(("valence", "arousal")), None)
    return names | {re.sub("_(valence|arousal)$", "_DIMENSION", name) for name in several}


def test_every_metric_is_documented_and_every_documented_metric_exists(
    text_of: dict[str, str],
) -> None:
    documented = set(
        re.findall(r"^\| `(\w+)` \|", text_of["docs/reference/metrics.md"], re.MULTILINE)
    )
    given = _metrics()
    assert {name.removesuffix("_at_0.3") for name in given} == documented
    assert any(name.endswith("_at_0.3") for name in given)
    assert "`_at_0.3`" in text_of["docs/reference/metrics.md"]
    tuned = {tuned_metric(name) for name in tuned_names(MultiLabel(), Taxonomy(["a", "b"]))}
    assert {name for name, _ in tuned} <= documented
    assert {f"`_{way}`" for _, way in tuned} == {f"`_{way}`" for way in WAYS}
    assert all(f"`_{way}`" in text_of["docs/reference/metrics.md"] for way in WAYS)


WORDS = "f1|precision|recall|auroc|accuracy|kappa|correlation|jaccard|loss|nll|rmse|pearson_r|perplexity"
METRIC = re.compile(rf"`(?:\w+/)*(\w*(?:{WORDS})[\w.]*)`")
"""What is written as a name and has the word of a metric in it."""


def test_no_page_speaks_of_a_metric_that_is_not_computed(text_of: dict[str, str]) -> None:
    given = _metrics() | {*tuned_names(MultiLabel(), Taxonomy(["a", "b"]))}
    tables = MultiLabel().table(np.zeros((1, 1)), np.zeros((1, 1)), ["a"])[0]
    given |= {
        *tables,
        "pearson_r_valence",
        "rmse_valence",
        "loss",
        "raw_losses",
        "loss_scale",
        "losses",
    }
    for page in ("docs/reference/metrics.md", "docs/analyses.md"):
        named = set(METRIC.findall(text_of[page]))
        assert named
        assert named <= given, page


def test_every_file_and_event_of_a_run_is_explained(text_of: dict[str, str], trained: Run) -> None:
    page = text_of["docs/runs.md"]
    inside = trained.checkpoints / "last"
    files = {
        path.name
        for path in [*trained.folder.iterdir(), *inside.iterdir(), *trained.checkpoints.iterdir()]
    }
    files = {name for name in files if not re.fullmatch(r"step-\d+", name)}
    files |= {*directory.WRITTEN, lock.LOCK, "plugins"}
    assert len(files) > 10
    assert {name for name in files if name not in page} == set()
    assert {
        event["event"] for event in trained.events() if f"`{event['event']}`" not in page
    } == set()


def test_every_dependency_has_its_line(text_of: dict[str, str]) -> None:
    pyproject: dict[str, Any] = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    lists = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    lists += pyproject.get("dependency-groups", {}).values()
    names = {Requirement(line).name for some in lists for line in some if isinstance(line, str)}
    page = text_of["docs/dependencies.md"]
    assert {name for name in names if f"| `{name}` |" not in page} == set()
    listed = set(re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE))
    assert listed - names == set()


def _sections(text: str) -> dict[str, str]:
    """The text under each heading, by heading; of two headings of one name both texts."""
    found: dict[str, str] = {}
    for part in re.split(r"^#{1,6} ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        found[title.strip()] = found.get(title.strip(), "") + body
    return found
