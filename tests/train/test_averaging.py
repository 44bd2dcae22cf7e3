"""The exponential moving average of the weights: what it is, where it is scored and saved, and who
may take it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from emomtl.errors import EmomtlError
from emomtl.inference.trained import open_trained
from emomtl.metrics.selection import EMA
from emomtl.model.averaging import UPDATES, Average
from emomtl.plugins.discovery import Plugins
from emomtl.run import Run, find_checkpoint, open_checkpoint
from emomtl.train.step import try_step

YES = torch.tensor(True)


class Small(nn.Module):
    """A frozen part, a part that two names share, and a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 2)
        self.frozen.requires_grad_(False)
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("seen", torch.tensor(0))


def moved(model: nn.Module, step: int) -> None:
    """Move what learns, as an optimiser would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.full_like(parameter, 0.5 * (step + 1)))


def test_the_average_of_a_few_steps_is_the_one_computed_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    average = Average(model, decay=0.2)
    by_hand = 2.0
    for t, weight in enumerate([4.0, 1.0, 3.0, 0.0]):
        nn.init.constant_(model.weight, weight)
        average.update(YES)
        decay = min(0.2, (1 + t) / (10 + t))  # 0.1, 2/11, 0.2, 0.2
        by_hand = decay * by_hand + (1 - decay) * weight
        assert float(average.tensors()["weight"]) == pytest.approx(by_hand, abs=1e-6)
    assert float(average.tensors()[UPDATES]) == 4


def test_after_the_warmup_it_is_the_average_of_torch() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    ours = Average(model, decay=0.9)
    ours._updates += 10_000  # (1 + t) / (10 + t) is above 0.9
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    theirs.n_averaged += 1  # torch's takes the first weights that it is shown; ours began with them
    for step in range(7):
        moved(model, step)
        ours.update(YES)
        theirs.update_parameters(model)
    found = ours.tensors()
    for name, value in theirs.module.state_dict().items():
        torch.testing.assert_close(found[name], value)


def test_frozen_shared_and_counting_tensors_are_right() -> None:
    model = Small()
    average = Average(model, decay=0.5)
    assert set(average.tensors()) == {"first.weight", "second.weight", UPDATES}
    moved(model, 0)
    model.seen += 7
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.update(YES)
    averaged = average.tensors()["first.weight"].clone()
    with average.in_place():
        assert torch.equal(model.first.weight, averaged)
        assert model.second.weight is model.first.weight
        assert torch.equal(model.frozen.weight, before["frozen.weight"])
        assert int(model.seen) == 7
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(average.tensors()["first.weight"], averaged)


def test_an_update_that_was_masked_moves_nothing() -> None:
    model = nn.Linear(2, 2)
    average = Average(model, decay=0.9)
    moved(model, 0)
    before = {name: tensor.clone() for name, tensor in average.tensors().items()}
    average.update(torch.tensor(False))
    assert all(torch.equal(tensor, before[name]) for name, tensor in average.tensors().items())


def test_the_average_is_put_back_when_scoring_fails() -> None:
    model = nn.Linear(2, 2)
    average = Average(model, decay=0.9)
    moved(model, 0)
    before = model.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), average.in_place():
        raise KeyboardInterrupt
    assert torch.equal(model.weight, before)


# -- runs
# ---------------------------------------------------------------------------------------------------------------


def manifest(desk: Any, name: str = "small", **more: Any) -> Path:
    train = {"ema": 0.6, "steps": 6} | more.pop("train", {})
    path: Path = desk.manifest(name, train=train, **more)
    return path


@pytest.fixture
def averaged(desk: Any) -> Run:
    """A finished run with an average."""
    run: Run = desk.train(manifest(desk))
    return run


def parts(run: Run, which: str = "last") -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The raw weights of a checkpoint and their average."""
    checkpoint = open_checkpoint(find_checkpoint(run, which).resolve())
    return checkpoint.tensors("model"), checkpoint.tensors(EMA)


def test_a_run_averages_what_its_steps_made(desk: Any) -> None:
    session = desk.begin(manifest(desk, encoder={"changes": [{"use": "frozen", "layers": 1}]}))
    name = "heads.mood.1.weight"
    by_hand = session.model.state_dict()[name].clone()
    for t in range(4):
        try_step(session)
        decay = min(0.6, (1 + t) / (10 + t))
        by_hand = decay * by_hand + (1 - decay) * session.model.state_dict()[name]
    session.run.close()
    torch.testing.assert_close(session.average.tensors()[name], by_hand)
    frozen = [one for one in session.model.state_dict() if "embeddings" in one]
    assert frozen
    assert not set(frozen) & set(session.average.tensors())


def test_the_raw_weights_are_those_of_a_run_without_an_average(desk: Any, averaged: Run) -> None:
    plain = desk.train(desk.manifest("plain"), "plain")
    checkpoint = open_checkpoint(find_checkpoint(plain, "last").resolve())
    assert not checkpoint.has(EMA)
    raw, average = parts(averaged)
    assert all(
        torch.equal(raw[name], tensor) for name, tensor in checkpoint.tensors("model").items()
    )
    assert not torch.equal(average["heads.mood.1.weight"], raw["heads.mood.1.weight"])


def test_both_are_scored_and_the_average_chooses_unless_told_otherwise(
    desk: Any, averaged: Run
) -> None:
    assert averaged.manifest.eval.weights == "ema"
    events = [event for event in averaged.events() if event["event"] == "evaluation"]
    assert events
    assert all(
        event["weights"] == "ema" and set(event["raw_scores"]) == {"mood", "topics"}
        for event in events
    )
    raw_run = desk.train(manifest(desk, "raw", eval={"weights": "raw"}), "raw")
    others = [event for event in raw_run.events() if event["event"] == "evaluation"]
    assert [event["scores"] for event in others] == [event["raw_scores"] for event in events]
    assert [event["ema_scores"] for event in others] == [event["scores"] for event in events]
    for entry, other in zip(averaged.scores()[:1], raw_run.scores()[:1], strict=True):
        assert (entry["which"], entry["weights"], other["weights"]) == ("last", "ema", "raw")
        for mine, theirs in (
            (entry["tasks"], other["other_weights"]["ema"]),
            (other["tasks"], entry["other_weights"]["raw"]),
        ):
            for task, scores in theirs.items():  # what chooses is scored at tuned thresholds, too
                assert scores["metrics"].items() <= mine[task]["metrics"].items()


def test_eval_scores_either_and_only_the_chosen_stands_for_the_run(averaged: Run, cli: Any) -> None:
    last = averaged.scores()[0]
    scores = {}
    for weights in ("raw", "ema"):
        said = cli("eval", averaged.folder, "--checkpoint", "last", "--weights", weights, "--json")
        assert said.code == 0, said.err
        scores[weights] = json.loads(said.out)["tasks"]["mood"]
    assert scores["ema"]["macro_f1"] == pytest.approx(last["tasks"]["mood"]["metrics"]["macro_f1"])
    assert scores["raw"]["macro_f1"] == pytest.approx(
        last["other_weights"]["raw"]["mood"]["metrics"]["macro_f1"]
    )
    raw, ema = Run.open(averaged.folder).scores()[-2:]
    assert (raw["by"], raw["weights"], "answers" in raw) == ("other-weights", "raw", False)
    assert (ema["by"], ema["weights"], "answers" in ema) == ("eval", "ema", True)
    assert cli("report", averaged.folder).code == 0
    assert cli("predict", averaged.folder, "so happy today", "--weights", "raw", "--json").code == 0


def test_an_opened_run_has_the_weights_that_were_asked_for(averaged: Run) -> None:
    raw, average = parts(averaged, "best")
    name = "heads.mood.1.weight"
    for asked, wanted in ((None, average), ("ema", average), ("raw", raw)):
        found = open_trained(averaged.folder, "best", Plugins.discover(), "cpu", asked)
        assert torch.equal(found.model.state_dict()[name], wanted[name])


def test_a_run_without_an_average_refuses_to_give_one(trained: Run) -> None:
    with pytest.raises(EmomtlError, match=r"--weights: .*has no averaged weights"):
        open_trained(trained.folder, "best", Plugins.discover(), "cpu", "ema")
    with pytest.raises(EmomtlError, match="'swa' is not known"):
        open_trained(trained.folder, "best", Plugins.discover(), "cpu", "swa")


def test_a_run_starts_from_either(desk: Any, averaged: Run) -> None:
    raw, average = parts(averaged, "best")
    name = "heads.mood.1.weight"
    for number, (asked, wanted) in enumerate(((None, average), ("raw", raw))):
        table = {"run": "run", "heads": True} | ({"weights": asked} if asked else {})
        session = desk.begin(desk.manifest(f"next{number}", start=table), f"next{number}")
        session.run.close()
        assert torch.equal(session.model.state_dict()[name], wanted[name])
        assert session.run.environment["start"].get("weights", "raw") == (asked or "ema")


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_slim_keeps_the_weights_that_are_asked_for(
    desk: Any, averaged: Run, cli: Any, weights: str
) -> None:
    wanted = dict(zip(("raw", "ema"), parts(averaged, "best"), strict=True))[weights]
    before = json.loads(cli("eval", averaged.folder, "--weights", weights, "--json").out)
    said = cli("slim", averaged.folder, "--weights", weights)
    assert said.code == 0, said.err
    checkpoint = open_checkpoint(find_checkpoint(averaged, "best").resolve())
    assert set(checkpoint.files) == {"model.safetensors", "weighting.safetensors", "state.json"}
    kept = checkpoint.tensors("model")
    assert all(
        torch.equal(kept[name], tensor) for name, tensor in wanted.items() if name != UPDATES
    )
    after = cli("eval", averaged.folder, "--json")
    assert json.loads(after.out) == before
    other = {"raw": "ema", "ema": "raw"}[weights]
    refused = cli("eval", averaged.folder, "--weights", other)
    assert refused.code == 1
    assert f"slimmed to its '{weights}' weights" in refused.err
    assert cli("slim", averaged.folder, "--weights", weights).code == 0
    assert cli("slim", averaged.folder, "--weights", other).code == 1


def test_slim_without_a_choice_keeps_both(averaged: Run, cli: Any) -> None:
    before = parts(averaged, "best")
    assert cli("slim", averaged.folder).code == 0
    for one, two in zip(before, parts(averaged, "best"), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_interrupted_after_every_step_has_the_same_average_bit_for_bit(
    desk: Any, contents: Any
) -> None:
    path = manifest(desk, train={"steps": 5})
    unbroken = desk.train(path, "unbroken")
    resume = False
    while True:
        try:
            desk.train(path, "broken", resume=resume, plugins=desk.stopping())
            break
        except KeyboardInterrupt:
            resume = True
    assert contents(desk.folder / "broken") == contents(unbroken)
    one, two = parts(unbroken)[1], parts(Run.open(desk.folder / "broken"))[1]
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert float(one[UPDATES]) == 5


def test_an_average_may_begin_in_a_run_that_is_gone_on_with(desk: Any) -> None:
    path = desk.manifest(train={"steps": 6})
    with pytest.raises(KeyboardInterrupt):
        desk.train(path, plugins=desk.stopping())
    later = manifest(desk)
    with pytest.raises(EmomtlError, match=r"train\.ema: was None, is 0\.6"):
        desk.train(later, resume=True)
    run = desk.train(later, resume=True, allow_changed=["train.ema", "eval.weights"])
    assert float(parts(run)[1][UPDATES]) == 5


def test_a_damaged_average_is_refused(desk: Any) -> None:
    path = manifest(desk)
    with pytest.raises(KeyboardInterrupt):
        desk.train(path, plugins=desk.stopping())
    file = find_checkpoint(Run.open(desk.folder / "run"), "last").resolve() / "ema.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(EmomtlError, match="its SHA-256 is not the one that was written"):
        desk.train(path, resume=True)


def test_choosing_by_an_average_that_is_not_kept_is_refused(desk: Any) -> None:
    with pytest.raises(EmomtlError, match=r"eval\.weights: no average of the weights is kept"):
        desk.begin(desk.manifest(eval={"weights": "ema"}))


def test_check_says_the_memory_of_the_average(desk: Any, cli: Any) -> None:
    found = json.loads(cli("check", manifest(desk), "--json").out)["memory_bytes"]
    plain = json.loads(cli("check", desk.manifest("plain"), "--json").out)["memory_bytes"]
    assert "average" not in plain
    assert 0 < found["average"] <= found["parameters"]
    # all that learns but the two weights of `uncertainty`
    assert 2 * (found["average"] + 4 * 2) == found["moments"]


def test_the_identity_of_a_run_without_an_average_is_what_it_was(desk: Any, tmp_path: Path) -> None:
    from emomtl.compose import compose_file
    from emomtl.study.identity import Identities, _content

    plan = compose_file(desk.manifest(start={"run": "x"}), [], Plugins.discover())
    content = _content(plan.manifest)
    assert "ema" not in content["train"]
    assert "weights" not in content["eval"]
    assert "weights" not in content["start"]
    assert "stages" not in content
    plain = compose_file(desk.manifest("one"), [], Plugins.discover())
    other = compose_file(manifest(desk, "two"), [], Plugins.discover())
    assert Identities().of(plain) != Identities().of(other)


def test_a_copied_run_keeps_both(averaged: Run, tmp_path: Path) -> None:
    shutil.copytree(averaged.folder, tmp_path / "copy", symlinks=True)
    found = open_trained(tmp_path / "copy", "best", Plugins.discover(), "cpu", "raw")
    assert found.weights == "raw"
