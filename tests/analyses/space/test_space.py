"""`emomtl analyse space` from runs to a folder: the same texts, the right vectors, and never a text
in what is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emomtl import EmomtlError, MultiLabel, SingleLabel, Taxonomy
from emomtl.analyses.runs import RunFolders
from emomtl.analyses.space import SpaceAnalysis
from emomtl.analyses.space.coordinates import taxonomy_coordinates
from emomtl.analyses.space.measures import Measured, Spaces
from emomtl.analyses.space.report import cautions
from emomtl.analyses.space.vectors import Space, Texts, only_labels, read_spaces
from emomtl.inference.trained import open_trained
from emomtl.plugins.discovery import Plugins


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs bring feelings.py along, which is ours."""
    monkeypatch.setenv("EMOMTL_TRUST_PLUGINS", "1")


def read(runs: list[Path], **options: Any) -> Any:
    """The texts and spaces of runs whose plugins are trusted."""
    return read_spaces(RunFolders(runs, trust_plugins=True), SpaceAnalysis(**options))


WORDS = ("happy", "angry", "lonely", "scared", "birthday", "shouted")


def test_only_rows_with_exactly_one_hard_label_are_taken() -> None:
    taxonomy, head = Taxonomy(["a", "b"]), MultiLabel()
    rows = [["a"], ["a", "b"], [], None, {"a": 1.0, "b": None}, {"a": 0.5, "b": 0.0}, ["b"]]
    targets = np.stack([head.encode(row, taxonomy) for row in rows])
    assert only_labels(head, targets).tolist() == [0, -1, -1, -1, -1, -1, 1]
    single = SingleLabel()
    assert only_labels(
        single, np.array([single.encode(row, taxonomy) for row in ("b", None, "a")])
    ).tolist() == [1, -1, 0]


def test_vectors_are_the_models_pooled_ones_and_top_labels_its_heads(vad_runs: list[Path]) -> None:
    import torch

    from emomtl.inference.predict import Predictor
    from emomtl.inference.trained import open_trained

    texts, spaces, _ = read(vad_runs, pretrained=True)
    assert [space.name for space in spaces][1:] == ["alone", "both"]
    assert spaces[0].predicted is None
    assert (texts.task, texts.rows) == ("feelings", len(texts.gold))
    trained = open_trained(vad_runs[1], "best", Plugins.discover(trust=True))
    held = trained.read_split("validation", ["feelings"]).corpora[0].splits["validation"].texts
    answers = Predictor.of(trained, ["feelings"])(list(held))
    for place, text in enumerate(held[:9]):
        encoded = trained.tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
        with torch.inference_mode():
            pooled = trained.model.encode(dict(encoded))[0].numpy()
        assert spaces[2].vectors[place] == pytest.approx(pooled, abs=1e-5)
        probabilities = answers[place]["feelings"]["probabilities"]
        assert texts.taxonomy.names[spaces[2].predicted[place]] == max(
            probabilities, key=probabilities.get
        )  # type: ignore[index]
    assert not np.allclose(spaces[0].vectors, spaces[1].vectors)


def test_a_limit_takes_the_same_texts_of_every_run(vad_runs: list[Path]) -> None:
    texts, spaces, _ = read(vad_runs, limit=20)
    assert len(texts.gold) == 20
    assert {len(space.vectors) for space in spaces} == {20}


def test_the_folder_has_every_number_and_picture_and_no_text(
    cli: Any, vad_runs: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "space"
    said = cli(
        "analyse",
        "space",
        *vad_runs,
        "--pretrained",
        "--permutations",
        "50",
        "--out",
        out,
        "--json",
    )
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert json.loads((out / "space.json").read_text()) == found
    assert [run["taught"] for run in found["runs"]] == [{}, {}, {"side": "sides"}]
    for run in found["runs"]:
        figures = run["figures"]
        assert {"similarity", "between_within", "silhouette", "purity", "macro_purity"} <= set(
            figures
        )
        assert set(figures["purity"]) == {"label", "side"}
        assert ("stays" in figures) == run["run"].startswith(("alone", "both"))
        assert len(run["distances"]) == len(found["centroids_of"]) == 4
    both = found["runs"][2]["figures"]["top1_accuracy"]["label"]
    assert both["low"] <= both["value"] <= both["high"]
    assert "difference" in both
    assert "difference" not in found["runs"][1]["figures"]["purity"]["side"]
    assert any("both also trains sides" in line for line in found["cautions"])
    text = (out / "space.md").read_text()
    names = {"pca-side", "tsne-side", "distances", "vad"}
    assert (
        {path.stem for path in out.glob("*.png")}
        == {path.stem for path in out.glob("*.svg")}
        == names
    )
    assert all(f"({name}.png)" in text for name in names)
    everything = (
        said.out + said.err + text + "".join(path.read_text() for path in out.glob("*.svg"))
    )
    assert not [word for word in WORDS if word in everything]


def test_the_terminal_shows_tables_and_two_calls_agree(cli: Any, vad_runs: list[Path]) -> None:
    said = [cli("analyse", "space", *vad_runs, "--permutations", "20") for _ in range(2)]
    assert said[0].code == 0, said[0].err
    assert said[0].out == said[1].out
    for title in (
        "Spaces",
        "Similarity of label distances",
        "Silhouette",
        "Wrong answers that stay in the right group",
    ):
        assert title in said[0].out


def test_a_look_at_test_is_called_one(cli: Any, vad_runs: list[Path]) -> None:
    said = cli("analyse", "space", vad_runs[0], "--permutations", "20", "--split", "test")
    assert said.code == 0, said.err
    assert "This was a look at test, and scores.json does not count it" in said.out


def test_a_task_without_coordinates_or_groupings_has_the_rest(cli: Any, trained: Any) -> None:
    said = cli(
        "analyse", "space", trained.folder, "--task", "mood", "--permutations", "20", "--json"
    )
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert any("no coordinates" in line for line in found["notes"])
    assert set(found["runs"][0]["figures"]) == {
        "between_within",
        "silhouette",
        "purity",
        "macro_purity",
        "top1_accuracy",
    }


def test_a_lexicon_file_stands_in_for_the_taxonomys_values(
    cli: Any, vad_runs: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "own.csv"
    path.write_text("w,p,a,d\njoy,9,8,8\nanger,2,9,7\nsadness,1,3,2\nfear,1,8,3\n")
    arguments = ["analyse", "space", vad_runs[0], "--permutations", "20", "--json"]
    own = json.loads(cli(*arguments, "--vad", path, "--vad-columns", "w,p,a,d").out)
    shipped = json.loads(cli(*arguments).out)
    assert own["vad"]["source"] == "own.csv"
    assert own["runs"][0]["figures"]["similarity"] == shipped["runs"][0]["figures"]["similarity"]
    distance = [
        one["runs"][0]["figures"]["vad_distance"]["label"]["value"] for one in (own, shipped)
    ]
    assert distance[0] == pytest.approx(10 * distance[1])


def test_runs_that_share_no_task_or_labels_or_texts_are_refused(
    desk: Any, vad_runs: list[Path], trained: Any, cli: Any
) -> None:
    said = cli("analyse", "space", vad_runs[0], trained.folder)
    assert (said.code, said.out) == (1, "")
    assert "the runs share no task with labels" in said.err
    desk.table("mood", 40, ["joy", "anger", "sadness"], seed=9)
    rest = {
        "sampler": {"per_step": "all"},
        "train": {"steps": 2},
        "eval": None,
        "checkpoint": None,
        "tasks": {"topics": None},
    }
    other = desk.train(desk.manifest(**rest), "other")
    said = cli("analyse", "space", trained.folder, other.folder)
    assert said.code == 1
    assert "its texts of 'mood' in validation are not those of" in said.err
    desk.table("mood", 40, ["joy", "anger", "fear"], seed=9)
    third = desk.train(desk.manifest(**rest), "third")
    said = cli("analyse", "space", trained.folder, third.folder, "--task", "mood")
    assert said.code == 1
    assert "its labels of 'mood' are not those of" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--split", "tset"], "--split: 'tset' is no split (did you mean 'test'?)"),
        (["--task", "feeling"], "--task: 'feeling' is no task of"),
        (["--source", "feelings"], "--source: 'feelings' is not TASK=PATH"),
        (["--source", "felings=x"], "'felings' is no task of these runs"),
        (["--vad", "gone.csv"], "--vad: there is no file gone.csv"),
        (["--vad-columns", "a,b"], "--vad-columns: 'a,b' does not name four columns"),
        (["--allow-changed", "all"], "--allow-changed: 'all' is not known here (data)"),
        (["--checkpoint", "7"], "no checkpoint '7'"),
    ],
)
def test_what_it_does_not_know_is_one_message(
    cli: Any, vad_runs: list[Path], arguments: list[str], said: str
) -> None:
    found = cli("analyse", "space", vad_runs[0], *arguments)
    assert (found.code, found.out) == (1, "")
    assert said in found.err


def test_a_regression_has_no_space(desk: Any) -> None:
    with pytest.raises(EmomtlError, match="no run is given"):
        read([])
    rows = [
        "text,label,part",
        *(f"word {i},{i},{'train' if i < 8 else 'validation'}" for i in range(12)),
    ]
    (desk.folder / "numbers.csv").write_text("\n".join(rows) + "\n")
    table = {
        "use": "table",
        "source": "numbers.csv",
        "options": {"split": "part"},
        "head": {"use": "regression"},
    }
    tasks = {"mood": None, "topics": None, "numbers": table}
    run = desk.train(desk.manifest(tasks=tasks, train={"steps": 2}, weighting={"use": "equal"}))
    with pytest.raises(EmomtlError, match="share no task with labels"):
        read([run.folder])
    with pytest.raises(EmomtlError, match="answers without labels"):
        read([run.folder], task="numbers")


def test_that_joy_and_positive_are_one_set_is_said_of_goemotions() -> None:
    from emomtl_tasks.emotions import EMOTIONS

    texts = Texts("goemotions", "validation", EMOTIONS, np.arange(28), 28)
    space = Space("both", "", np.zeros((28, 2), np.float32), taught={"ekman": "goemotions-ekman"})
    measured = [Measured(space, {}, {}, np.zeros((0, 0)))]
    said = " ".join(cautions(Spaces(texts, taxonomy_coordinates(EMOTIONS), measured, 10, 17)))
    assert "joy of ekman and positive of sentiment" in said
    assert "A label's group in ekman decides its group in sentiment." in said
    assert "both also trains goemotions-ekman" in said
    assert "arousal and dominance given valence" in said


def test_a_run_whose_heads_read_features_too_has_the_space_of_its_encoder(desk: Any) -> None:
    manifest = desk.manifest(
        features={"lexicon": {"of": "topics", "min_rows": 2}}, train={"steps": 2}
    )
    run = desk.train(manifest)
    _, (space,), _ = read([run.folder], task="mood", checkpoint="last")
    width = open_trained(run.folder, "last", Plugins.discover()).model.encoder.config.hidden_size
    assert space.vectors.shape[1] == width
    assert space.predicted is not None
