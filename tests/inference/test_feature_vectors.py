"""Features are learned from one task's training rows, stand beside the encoder's vector, and
survive resume, eval and predict.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emomtl import EmomtlError, Run, TrainingRows
from emomtl.compose import compose_file
from emomtl.data.corpus import CorpusSplit
from emomtl.inference.feature_vectors import FURTHEST, learn, out_of_fold, reopen, training_rows
from emomtl.inference.predict import Predictor
from emomtl.inference.trained import open_trained
from emomtl.plugins.discovery import Plugins

LEXICON = {"lexicon": {"of": "topics", "min_rows": 2}}
LENGTHS = '''
from dataclasses import dataclass
import numpy as np
from emomtl import EmomtlError, Feature, Learned, hookimpl

@dataclass(frozen=True)
class Letters(Feature):
    """How many letters a text has."""
    wrong: str = ""

    def fit(self, rows):
        if self.wrong == "fit":
            raise EmomtlError("these rows do not suit it", place="wrong")
        return Learned({}, {"seen": len(rows.texts), "labels": list(rows.labels)})

    def names(self, learned):
        return ("letters", "one")

    def transform(self, learned, texts):
        if self.wrong == "shape":
            return np.zeros((len(texts), 3))
        number = [float("nan") if self.wrong == "nan" else len(text) for text in texts]
        return np.array([number, np.ones(len(texts))], float).T

@hookimpl
def emomtl_features():
    return {"letters": Letters}
'''


def letters(desk: Any, **options: Any) -> dict[str, Any]:
    (desk.folder / "letters.py").write_text(LENGTHS)
    return {"plugins": ["./letters.py"], "features": {"letters": options}}


def test_heads_read_the_features_beside_the_encoder(desk: Any) -> None:
    with_features = desk.begin(desk.manifest(features=LEXICON), "with")
    without = desk.begin(desk.manifest(), "without")
    width = {name: module[1].in_features for name, module in with_features.model.heads.items()}
    assert width == {
        name: module[1].in_features + 5 * 4 for name, module in without.model.heads.items()
    }
    assert with_features.tokens["mood", "train"].features.shape == (48, 20)
    assert with_features.tokens["mood", "train"].features.dtype == np.float32
    with_features.run.close()
    without.run.close()


def test_a_run_without_features_has_no_trace_of_them(trained: Run) -> None:
    assert trained.manifest.features == {}
    assert "features" not in trained.environment
    assert not (trained.folder / "features").exists()
    assert "features" not in (trained.folder / "manifest.toml").read_text(encoding="utf-8")


def test_a_feature_learns_from_the_training_rows_of_its_task_alone(desk: Any) -> None:
    session = desk.begin(
        desk.manifest(**letters(desk, of="topics"), tasks={"topics": {"limit": 20}})
    )
    fitted = session.features.fitted[0]
    texts = training_rows(session.data, "topics").texts
    assert fitted.learned.about == {"seen": 20, "labels": ["anger", "fear", "joy", "sadness"]}
    lengths = [len(text) for text in texts]
    assert fitted.mean.tolist() == [np.mean(lengths), 1.0]
    assert fitted.scale.tolist() == pytest.approx([np.std(lengths), 1.0])
    session.run.close()


def test_vectors_are_standardised_on_those_rows_and_cut_far_away(desk: Any) -> None:
    session = desk.begin(desk.manifest(**letters(desk)))
    found = session.features.fitted[0].vectors(training_rows(session.data, "mood").texts)
    assert found.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert found.std(axis=0) == pytest.approx([1, 0], abs=1e-5)
    assert session.features.fitted[0].vectors(["x" * 10_000])[0, 0] == FURTHEST
    session.run.close()


def test_training_rows_get_vectors_that_do_not_know_their_labels(desk: Any) -> None:
    def first_figures(folds: int) -> tuple[Any, Any]:
        session = desk.begin(
            desk.manifest(features={"lexicon": {**LEXICON["lexicon"], "folds": folds}}),
            f"folds-{folds}",
        )
        session.run.close()
        return session, session.tokens["topics", "train"].features

    session, crossed = first_figures(4)
    _, whole = first_figures(1)
    assert not np.allclose(crossed, whole)
    texts = training_rows(session.data, "topics").texts
    place = 3
    has = session.data.rows("topics", "train").targets
    anew = replace(session.features.fitted[0], own=None)
    assert np.array_equal(
        anew.training_vectors(session.data),
        session.features.fitted[0].training_vectors(session.data),
    )
    before = anew.training_vectors(session.data)[place]
    has[place] = 1 - has[place]
    after = anew.training_vectors(session.data)[place]
    assert texts.count(texts[place]) == 1
    assert np.array_equal(before, after)


@given(st.lists(st.text("ab", max_size=4), min_size=2, max_size=12), st.integers(2, 5))
def test_no_fold_is_seen_by_its_own_fit(texts: list[str], folds: int) -> None:
    rows = TrainingRows(texts, ("one",), np.arange(len(texts))[:, None])
    seen = []

    def vectors_of(others: TrainingRows, asked: Any) -> Any:
        seen.append((set(others.texts), set(asked), len(others.texts) + len(asked)))
        return np.array([[len(text)] for text in asked], float)

    assert out_of_fold(rows, folds, vectors_of).tolist() == [[len(text)] for text in texts]
    assert all(not others & asked and number == len(texts) for others, asked, number in seen)


def test_of_a_pair_both_texts_are_read(desk: Any) -> None:
    session = desk.begin(desk.manifest(**letters(desk)))
    tokens = session.tokens["mood", "validation"]
    pair = CorpusSplit(np.arange(2), ["ab", "abc"], ["cd", ""])
    whole = CorpusSplit(np.arange(2), ["ab\ncd", "abc"])
    assert np.array_equal(
        session.features.beside(tokens, pair).features,
        session.features.beside(tokens, whole).features,
    )
    session.run.close()


def test_a_run_with_features_resumes_to_the_unbroken_one(desk: Any, contents: Any) -> None:

    manifest = desk.manifest(
        features=LEXICON, train={"steps": 5, "accumulate": 2}, eval={"every": 2}
    )
    unbroken = desk.train(manifest, "unbroken")
    resume, interrupted = False, 0
    while True:
        try:
            plugins = desk.stopping()
            desk.train(manifest, "broken", resume=resume, plugins=plugins)
            break
        except KeyboardInterrupt:
            resume, interrupted = True, interrupted + 1
    assert interrupted == 5
    assert contents(desk.folder / "broken") == contents(unbroken)
    files = [
        folder / "features" / "lexicon.safetensors"
        for folder in (desk.folder / "broken", unbroken.folder)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.fixture(scope="module")
def fused(
    make_desk: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Run]:
    """A desk, and a finished run on it with a lexicon and a feature of a single file."""
    desk = make_desk(tmp_path_factory.mktemp("fused"))
    changes = letters(desk)
    changes["features"]["lexicon"] = LEXICON["lexicon"]
    return desk, desk.train(
        desk.manifest(**changes, train={"steps": 8}, eval={"every": 8}, checkpoint=None)
    )


def test_eval_and_predict_need_no_training_rows(fused: tuple[Any, Run], tmp_path: Path) -> None:
    _, run = fused
    folder = Path(shutil.copytree(run.folder, tmp_path / "moved", symlinks=True))
    trained = open_trained(folder, "last", Plugins.discover(trust=True))
    kept = next(entry for entry in run.scores() if entry["which"] == "last")["tasks"]
    scores, _, _ = trained.evaluate("validation", keep_predictions=False)
    assert {task: one.metrics for task, one in scores.items()} == {
        task: one["metrics"] for task, one in kept.items()
    }
    texts = ["happy and loved friends", "", "angry hate"]
    together = Predictor.of(trained)(texts)
    alone = [Predictor.of(trained)([text])[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one["mood"]["probabilities"] == pytest.approx(
            other["mood"]["probabilities"], abs=1e-5
        )


def test_the_complete_manifest_holds_the_features_and_reads_back_equal(
    fused: tuple[Any, Run],
) -> None:
    _, run = fused
    table = run.manifest.features["lexicon"]
    assert (table.use, table.of) == ("lexicon", "topics")
    assert table.options == {"method": "mixture", "threshold": 0.25, "share": 0.9, "min_rows": 2}
    assert run.manifest.features["letters"].of == "mood"
    assert Run.open(run.folder).manifest == run.manifest


def test_a_feature_file_that_changed_is_refused(fused: tuple[Any, Run], tmp_path: Path) -> None:
    _, run = fused
    folder = Path(shutil.copytree(run.folder, tmp_path / "run", symlinks=True))
    path = folder / "features" / "lexicon.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EmomtlError, match=r"lexicon\.safetensors: damaged: its SHA-256"):
        open_trained(folder, "last", Plugins.discover(trust=True))
    path.unlink()
    with pytest.raises(EmomtlError, match=r"lexicon\.safetensors: cannot be read"):
        open_trained(folder, "last", Plugins.discover(trust=True))


def test_a_kept_feature_is_the_one_that_was_learned(fused: tuple[Any, Run]) -> None:
    desk, run = fused
    plan = compose_file(run.folder / "manifest.toml", [], Plugins.discover())
    again = reopen(plan.features, run)
    texts = ["happy love", "tired and sad, lonely"]
    session = desk.begin(run.folder / "manifest.toml", "again")
    fresh = learn(plan.features, session.data)
    session.run.close()
    for one, other in zip(again.fitted, fresh.fitted, strict=True):
        assert np.array_equal(one.vectors(texts), other.vectors(texts))
    assert again.digests == fresh.digests


@pytest.mark.parametrize(
    ("features", "place", "said"),
    [
        (
            {"lexicon": {"of": "topic"}},
            "features.lexicon.of",
            "'topic' is no task of this run (did you mean 'topics'?)",
        ),
        (
            {"lexicn": {}},
            "features.lexicn.use",
            "feature 'lexicn' is not installed (did you mean 'lexicon'?)",
        ),
        ({"lexicon": {"threshold": 2.0}}, "features.lexicon.threshold", "at most 1"),
        (
            {"words": {"use": "lexicon", "methd": "pmi"}},
            "features.words.methd",
            "did you mean 'method'",
        ),
    ],
)
def test_errors_of_a_feature_have_its_place_and_line(
    desk: Any, features: dict[str, Any], place: str, said: str
) -> None:
    with pytest.raises(EmomtlError) as caught:
        compose_file(desk.manifest(features=features), [], Plugins.discover())
    (problem,) = caught.value.problems
    assert problem.place == place
    assert said in f"{problem.found} ({problem.remedy})"
    assert problem.line


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("fit", "features.letters.wrong: these rows do not suit it"),
        ("shape", r"features.letters: 'letters' gave \(\d+, 3\) numbers, not \(\d+, 2\)"),
        ("nan", "features.letters: 'letters' gave numbers that are not finite"),
    ],
)
def test_a_failing_feature_is_named_before_a_folder_is_made(
    desk: Any, wrong: str, said: str
) -> None:
    with pytest.raises(EmomtlError, match=said):
        desk.begin(desk.manifest(**letters(desk, wrong=wrong)))
    assert not (desk.folder / "run").exists()


def test_a_lexicon_of_a_regression_is_refused(desk: Any) -> None:
    lines = [
        "text,label,part",
        *(f"word {i},{i / 100},{'train' if i % 2 else 'validation'}" for i in range(40)),
    ]
    (desk.folder / "arousal.csv").write_text("\n".join(lines) + "\n")
    table = {
        "use": "table",
        "source": "arousal.csv",
        "options": {"split": "part"},
        "head": {"use": "regression"},
    }
    with pytest.raises(EmomtlError, match=r"features\.lexicon: a lexicon needs labels"):
        desk.begin(desk.manifest(tasks={"arousal": table}, features={"lexicon": {"of": "arousal"}}))
