"""A checkpoint comes back bit for bit, or it is refused with the file and the reason."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from emomtl.errors import EmomtlError
from emomtl.run import Run, find_checkpoint, open_checkpoint, save_checkpoint
from emomtl.run.checkpoint import LIST

Parts = Callable[[int], dict[str, Any]]


def assert_same(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Names, types, shapes and every bit."""
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        as_bytes = [
            value.detach().contiguous().reshape(-1).view(torch.uint8)
            for value in (found[name], tensor)
        ]
        assert torch.equal(*as_bytes), name


def test_every_kind_of_tensor_comes_back_bit_for_bit(run: Run) -> None:
    weight = torch.randn(6, 4)
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    model = {
        "weight": torch.nn.Parameter(weight),
        "tied": weight,
        "row": weight[2],
        "turned": weight.T,
        "strided": weight[::2, ::3],
        "spread": torch.tensor([1.0]).expand(5),
        "half": odd.bfloat16(),
        "short": odd.half(),
        "odd": odd,
        "double": torch.randn(3).double(),
        "count": torch.tensor(2**62 + 1),
        "many": torch.tensor([-(2**63), 2**63 - 1]),
        "byte": torch.arange(256).to(torch.uint8),
        "flag": torch.tensor([True, False]),
        "none": torch.zeros(0, 7),
        "nothing": torch.zeros(0, 7),
        "complex": torch.tensor([1 + 2j]).conj(),
    }
    path = save_checkpoint(
        run, 7, {"model": model, "optimizer": {}, "weighting": {"s": torch.tensor(0.1)}}, {}
    )
    checkpoint = open_checkpoint(path)
    assert_same(
        checkpoint.tensors("model"), {name: tensor.resolve_conj() for name, tensor in model.items()}
    )
    assert checkpoint.tensors("optimizer") == {}
    assert_same(checkpoint.tensors("weighting"), {"s": torch.tensor(0.1)})
    with pytest.raises(EmomtlError, match=r"no part 'modl' \(did you mean 'model'\?\)"):
        checkpoint.tensors("modl")


def test_what_is_loaded_shares_no_memory_and_can_be_trained_on(run: Run) -> None:
    weight = torch.ones(3)
    loaded = open_checkpoint(
        save_checkpoint(run, 1, {"model": {"a": weight, "b": weight}}, {})
    ).tensors("model")
    loaded["a"] += 1
    assert loaded["b"].tolist() == [1.0, 1.0, 1.0]


def test_the_state_comes_back_exactly(run: Run, parts: Parts) -> None:
    state = {
        "counts": {"b": 3, "a": 2**80},
        "loss": 0.1 + 0.2,
        "none": None,
        "list": [1, "ü\ud800"],
        "deep": {"x": {"y": []}},
    }
    checkpoint = open_checkpoint(save_checkpoint(run, 123456789, parts(1), state))
    assert checkpoint.state == state
    assert checkpoint.step == 123456789
    assert checkpoint.path.name == "step-123456789"


def test_equal_content_gives_equal_bytes(run: Run, parts: Parts) -> None:
    first = save_checkpoint(run, 3, parts(1), {"b": 1, "a": 2})
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    number = first.stat().st_ino
    again = save_checkpoint(run, 3, dict(reversed(parts(1).items())), {"a": 2, "b": 1})
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before
    assert again.stat().st_ino == number
    assert os.listdir(run.checkpoints) == ["step-00000003"]


def test_a_step_done_again_with_another_result_replaces_the_old_one(run: Run, parts: Parts) -> None:
    save_checkpoint(run, 3, parts(1), {"try": 1})
    checkpoint = open_checkpoint(save_checkpoint(run, 3, parts(2), {"try": 2}))
    assert checkpoint.state == {"try": 2}
    assert_same(checkpoint.tensors("model"), parts(2)["model"])
    assert os.listdir(run.checkpoints) == ["step-00000003"]


def test_a_damaged_checkpoint_of_the_same_step_is_replaced(run: Run, parts: Parts) -> None:
    (save_checkpoint(run, 3, parts(1), {}) / "state.json").write_text("{}")
    assert open_checkpoint(save_checkpoint(run, 3, parts(1), {})).step == 3


def test_a_checkpoint_can_be_read_by_whoever_may_read_the_run(run: Run, parts: Parts) -> None:
    modes = {path.stat().st_mode for path in save_checkpoint(run, 1, parts(1), {}).iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("state", [{"loss": float("nan")}, {"loss": float("inf")}])
def test_a_state_that_would_not_come_back_is_never_written(
    run: Run, parts: Parts, state: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        save_checkpoint(run, 1, parts(1), state)
    assert os.listdir(run.checkpoints) == []


def test_a_part_cannot_leave_its_folder(run: Run) -> None:
    with pytest.raises(ValueError, match="a part is named"):
        save_checkpoint(run, 1, {"../../model": {}}, {})


def mutate(data: bytes, draw: random.Random) -> bytes:
    """One bit flipped, one byte replaced, cut off, added to, or one byte put in or taken out."""
    at = draw.randrange(len(data))
    return draw.choice(
        [
            data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :],
            data[:at] + bytes([(data[at] + draw.randrange(1, 256)) % 256]) + data[at + 1 :],
            data[:at],
            data + bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9))),
            data[:at] + b"0" + data[at:],
            data[:at] + data[at + 1 :],
        ]
    )


def test_three_hundred_random_changes_are_all_refused(run: Run, parts: Parts) -> None:
    path = save_checkpoint(run, 5, parts(1), {"a": 1})
    draw = random.Random(17)
    for number in range(300):
        file = draw.choice(sorted(path.iterdir()))
        data = file.read_bytes()
        file.write_bytes(mutate(data, draw))
        with pytest.raises(EmomtlError) as caught:
            open_checkpoint(path)
        assert file.name in str(caught.value), number
        file.write_bytes(data)
    assert open_checkpoint(path).step == 5


def test_every_byte_of_the_list_counts(run: Run) -> None:
    path = save_checkpoint(run, 5, {"model": {}}, {})
    data = (path / LIST).read_bytes()
    for at in range(len(data)):
        (path / LIST).write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        with pytest.raises(EmomtlError, match=r"sha256\.txt"):
            open_checkpoint(path)


def swap(path: Path) -> None:
    (path / "model.safetensors").rename(path / "x")
    (path / "optimizer.safetensors").rename(path / "model.safetensors")
    (path / "x").rename(path / "optimizer.safetensors")


def as_link(path: Path, name: str) -> None:
    (path / name).rename(path.parent / "elsewhere")
    (path / name).symlink_to(path.parent / "elsewhere")


def as_pipe(path: Path) -> None:
    (path / "model.safetensors").unlink()
    os.mkfifo(path / "model.safetensors")


def relist(path: Path, change: Callable[[str], str]) -> None:
    """Rewrite the list by a change, with a last line that fits: only what it says is wrong, not its
    hash.
    """
    body = change((path / LIST).read_text().rsplit("\n", 2)[0] + "\n")
    (path / LIST).write_text(body + hashlib.sha256(body.encode()).hexdigest() + "  list\n")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "swapped files": (swap, r"model\.safetensors: damaged: its SHA-256"),
    "an extra file": (
        lambda path: (path / "run.pkl").write_bytes(b"x"),
        r"run\.pkl: damaged: it does not belong",
    ),
    "a missing file": (
        lambda path: (path / "state.json").unlink(),
        r"state\.json: damaged: it is missing",
    ),
    "a missing list": (lambda path: (path / LIST).unlink(), r"sha256\.txt: damaged: it is missing"),
    "a link": (
        lambda path: as_link(path, "model.safetensors"),
        r"model\.safetensors: damaged: it is a link",
    ),
    "a linked list": (lambda path: as_link(path, LIST), r"sha256\.txt: damaged: it is a link"),
    "a pipe": (as_pipe, r"model\.safetensors: damaged: it is a link or a device"),
    "a foreign version": (
        lambda path: relist(path, lambda body: body.replace("checkpoint 1", "checkpoint 2")),
        "format 2; this emomtl reads format 1",
    ),
    "an unsorted list": (
        lambda path: relist(
            path, lambda body: "".join(sorted(body.splitlines(True), reverse=True))
        ),
        "not the list that was written",
    ),
    "a path in the list": (
        lambda path: relist(path, lambda body: body.replace("  model.", "  ../model.")),
        "not the list that was written",
    ),
    "a huge list": (
        lambda path: (path / LIST).write_bytes(b"x" * 1_000_001),
        "larger than 1000000 bytes",
    ),
    "another step's name": (
        lambda path: path.rename(path.with_name("step-00000006")),
        r"it is of step 5, and the folder is named",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_checkpoint_that_deviates_is_refused_with_the_file_and_the_reason(
    run: Run, parts: Parts, name: str
) -> None:
    damage, message = DAMAGES[name]
    path = save_checkpoint(run, 5, parts(1), {})
    damage(path)
    with pytest.raises(EmomtlError, match=message):
        open_checkpoint(path if path.exists() else path.with_name("step-00000006"))


def test_all_damaged_files_are_named_at_once(run: Run, parts: Parts) -> None:
    path = save_checkpoint(run, 5, parts(1), {})
    for file in path.glob("*.safetensors"):
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(EmomtlError) as caught:
        open_checkpoint(path)
    assert [Path(problem.place).name for problem in caught.value.problems] == [
        "model.safetensors",
        "optimizer.safetensors",
    ]


@pytest.mark.parametrize(
    "content",
    [
        '{"state": {}}',
        '{"step": true, "state": {}}',
        '{"step": 5, "state": []}',
        "[]",
        "[" * 100_000,
    ],
)
def test_a_state_that_was_listed_but_is_none_is_refused(run: Run, content: str) -> None:
    path = save_checkpoint(run, 5, {}, {})
    old = (
        f"{hashlib.sha256((path / 'state.json').read_bytes()).hexdigest()} "
        f" {(path / 'state.json').stat().st_size}"
    )
    (path / "state.json").write_text(content)
    relist(
        path,
        lambda body: body.replace(
            old, f"{hashlib.sha256(content.encode()).hexdigest()}  {len(content)}"
        ),
    )
    with pytest.raises(EmomtlError, match="not the state of a checkpoint"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((20_000_000).to_bytes(8, "little") + b"{}", "its header claims 20000000 bytes"),
        ((8).to_bytes(8, "little") + b"{}......", "no tensors can be read from it"),
    ],
)
def test_a_hostile_header_is_refused_though_its_hash_fits(
    run: Run, data: bytes, message: str
) -> None:
    path = save_checkpoint(run, 5, {"model": {}}, {})
    file = path / "model.safetensors"
    old = f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.stat().st_size}"
    file.write_bytes(data)
    relist(path, lambda body: body.replace(old, f"{hashlib.sha256(data).hexdigest()}  {len(data)}"))
    with pytest.raises(EmomtlError, match=message):
        open_checkpoint(path).tensors("model")


def test_a_file_that_changes_after_it_was_verified_is_not_loaded(run: Run, parts: Parts) -> None:
    checkpoint = open_checkpoint(save_checkpoint(run, 5, parts(1), {}))
    file = checkpoint.path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    with pytest.raises(EmomtlError, match="it has changed since it was opened"):
        checkpoint.tensors("model")
    file.unlink()
    with pytest.raises(EmomtlError, match="cannot be read: No such file"):
        checkpoint.tensors("model")


def test_a_pickle_in_a_checkpoint_is_never_loaded(run: Run, parts: Parts, tmp_path: Path) -> None:
    planted = f"cos\nsystem\n(S'touch {tmp_path}/owned'\ntR.".encode()
    path = save_checkpoint(run, 5, parts(1), {})
    for name in ("pytorch_model.bin", "optimizer.safetensors", "state.json"):
        shutil.copytree(path, tmp_path / name)
        (tmp_path / name / name).write_bytes(planted)
        with pytest.raises(EmomtlError):
            open_checkpoint(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_no_checkpoint_at_a_path_is_said(run: Run) -> None:
    with pytest.raises(EmomtlError, match="no checkpoint here"):
        open_checkpoint(run.folder / "nowhere")


def test_a_folder_that_goes_while_the_run_lives_is_said_and_not_made_again(
    run: Run, parts: Parts
) -> None:
    shutil.rmtree(run.folder)
    with pytest.raises(
        EmomtlError,
        match=r"small/checkpoints: cannot be read: No such file or directory \(the folder has gone",
    ):
        save_checkpoint(run, 5, parts(1), {})
    assert not run.folder.exists()


def test_the_state_file_is_canonical_json(run: Run) -> None:
    text = (save_checkpoint(run, 5, {}, {"b": [1, 2], "a": "ü"}) / "state.json").read_text()
    assert text == f'{{"run":"{run.identity}","state":{{"a":"\\u00fc","b":[1,2]}},"step":5}}\n'
    assert json.loads(text)["step"] == 5


def test_only_the_owner_of_a_run_writes_checkpoints(run: Run, parts: Parts) -> None:
    with pytest.raises(RuntimeError, match="only the process that holds"):
        save_checkpoint(Run.open(run.folder), 1, parts(1), {})
    save_checkpoint(run, 1, parts(1), {})
    assert find_checkpoint(Run.open(run.folder), "1").name == "step-00000001"
