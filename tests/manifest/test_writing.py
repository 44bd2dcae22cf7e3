"""A manifest that is written and read again is the same manifest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from emomtl.errors import EmomtlError
from emomtl.manifest import Manifest, TrainTable, Use, read_manifest, write_manifest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
OPTIONS = st.dictionaries(
    TEXTS.filter(lambda key: key != "use"),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
USES = st.builds(lambda use, options: {**options, "use": use}, TEXTS, OPTIONS)
NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,12}\Z")


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables that have any of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


TASKS = some(
    use=TEXTS,
    source=TEXTS,
    options=OPTIONS,
    head=OPTIONS | USES,
    weight=st.floats(0, 1e30),
    batch_size=st.integers(1, 99),
    limit=st.integers(1, 2**63 - 1),
)
TRAIN = some(
    lr=POSITIVE,
    eps=st.sampled_from([1e-05, 5e-324, 1e-8, 1e300]),
    epochs=POSITIVE,
    clip=POSITIVE,
    warmup=st.floats(0, 1, exclude_max=True),
    betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
)
MANIFESTS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "encoder": st.builds(
            lambda use, rest: {**rest, "use": use},
            TEXTS,
            some(revision=TEXTS, pooling=st.sampled_from(["cls", "max"])),
        ),
        "tasks": (
            st.dictionaries(NAMES, TASKS, min_size=1, max_size=3).filter(
                lambda tasks: len({name.lower().replace("-", "_") for name in tasks}) == len(tasks)
            )
        ),
    },
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "plugins": st.lists(TEXTS, max_size=3).map(tuple),
        "folder": TEXTS,
        "sampler": st.builds(
            lambda use, rest: {**use, **rest}, USES, some(per_step=st.sampled_from(["one", "all"]))
        ),
        "weighting": USES,
        "train": TRAIN,
        "data": some(buckets=st.booleans()),
    },
)


@settings(deadline=None, max_examples=150)
@given(data=MANIFESTS)
def test_a_manifest_written_and_read_again_is_equal(data: dict[str, Any]) -> None:
    manifest = Manifest.model_validate(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.toml"
        path.write_bytes(write_manifest(manifest).encode())
        assert read_manifest(path) == manifest


def least(**keys: Any) -> Manifest:
    return Manifest.model_validate(
        {"name": "a", "encoder": {"use": "e"}, "tasks": {"x": {}}, **keys}
    )


def test_a_written_manifest_is_complete_and_in_order() -> None:
    text = write_manifest(least(tasks={"x": {"head": {"lr": 1e-05}}}))
    data = tomli.loads(text)
    assert text.startswith("# ")
    empty = {"devices", "folder", "objectives", "features", "start", "pretrain", "stages"}
    assert list(data) == [name for name in Manifest.model_fields if name not in empty]
    assert data["train"] | {"lr": 1e-5} == TrainTable(lr=1e-5).model_dump(exclude_none=True) | {
        "betas": [0.9, 0.999]
    }
    assert data["tasks"]["x"] == {
        "weight": 1.0,
        "patience": 0,
        "label_noise": 0.0,
        "trained": True,
        "head": {"lr": 1e-05},
    }
    assert "lr = 1e-05" in text


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        (float("inf"), "sampler.k: found the number inf"),
        ([1.0, float("nan")], "sampler.k[1]: found the number nan"),
        ({"a": None}, "sampler.k.a: is None"),
        ("\ud800", "sampler.k: is not text that UTF-8 can hold"),
        (2**63, "sampler.k: found a whole number outside the range of 64 bits"),
    ],
)
def test_what_toml_cannot_say_is_refused(value: Any, fragment: str) -> None:
    with pytest.raises(EmomtlError) as caught:
        write_manifest(
            least().model_copy(update={"sampler": Use.model_validate({"use": "s", "k": value})})
        )
    assert fragment in str(caught.value)


def test_a_none_is_left_out_and_reads_as_default() -> None:
    text = write_manifest(least(train={"epochs": None}))
    assert "epochs" not in text
    assert tomli.loads(text)["train"]["clip"] == 1.0


def test_a_none_inside_options_is_refused() -> None:
    with pytest.raises(EmomtlError, match="is None, and TOML has no word for it"):
        write_manifest(least(tasks={"x": {"options": {"a": None}}}))
