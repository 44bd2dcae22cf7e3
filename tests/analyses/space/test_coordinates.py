"""Valence, arousal and dominance: from a taxonomy or any reasonable lexicon file, and never
guessed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emomtl import EmomtlError, Label, Taxonomy
from emomtl.analyses.space.coordinates import file_coordinates, taxonomy_coordinates

TAXONOMY = Taxonomy(
    [Label("joy", vad=(0.9, 0.8, 0.7)), "anger", Label("fear", vad=(0.1, 0.8, 0.3))]
)


def test_a_taxonomy_gives_what_its_labels_carry() -> None:
    found = taxonomy_coordinates(TAXONOMY)
    assert found.points == {"joy": (0.9, 0.8, 0.7), "fear": (0.1, 0.8, 0.3)}
    assert found.missing == ("anger",)
    assert np.isnan(found.matrix(TAXONOMY.names)[1]).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nrc.tsv", "Word\tValence\tArousal\tDominance\nJoy\t1\t2\t3\nother\tx\ty\tz\nanger\t4\t5\t6\n"),
        ("short.csv", "label,V,a,D\njoy,1,2,3\nANGER,4,5,6\nfear,,5,6\n"),
        ("warriner.csv", "Word,V.Mean.Sum,V.SD.Sum,A.Mean.Sum,D.Mean.Sum\njoy,1,9,2,3\nanger,4,9,5,6\n"),
        ("rows.jsonl", '{"term": "joy", "valence": 1, "arousal": 2, "dominance": 3}\n'
                       '{"term": "anger", "valence": 4, "arousal": 5.0, "dominance": 6}\n'),
    ],
)  # fmt: skip
def test_files_of_several_makers_are_read_by_their_columns_in_their_own_units(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    found = file_coordinates(tmp_path / name, TAXONOMY)
    assert found.points == {"joy": (1, 2, 3), "anger": (4, 5, 6)}
    assert (found.source, found.missing) == (name, ("fear",))


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("w,p,a,d\njoy,1,2,3\n")
    with pytest.raises(EmomtlError, match=r"there is no column .label.*--vad-columns"):
        file_coordinates(path, TAXONOMY)
    assert file_coordinates(path, TAXONOMY, ["w", "p", "a", "d"]).points == {"joy": (1, 2, 3)}
    with pytest.raises(EmomtlError, match="--vad-columns: there is no column 'v'"):
        file_coordinates(path, TAXONOMY, ["w", "v", "a", "d"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("word,v,a,d\njoy,1,2,high\n", "bad.csv:2: 'd' is 'high', not a number"),
        ("word,v,a,d\njoy,1,2,nan\n", "not a number"),
        ("word,v,a,d\njoy,1,2,3\njoy,1,2,4\n", "'joy' stands there twice"),
        ("word,v,a,d\nhappy,1,2,3\n", "has none of the labels"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(EmomtlError, match=said):
        file_coordinates(tmp_path / "bad.csv", TAXONOMY)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmomtlError, match=r"--vad: there is no file .*gone\.csv"):
        file_coordinates(tmp_path / "gone.csv", TAXONOMY)


def test_three_sources_give_the_28_labels_and_the_shipped_values_are_nrcs(corpora: Path) -> None:
    from emomtl_tasks.emotions import EMOTIONS

    path = corpora / "vad" / "goemotions_labels_vad.tsv"
    nrc = file_coordinates(path, EMOTIONS, ["label", "NRC_V", "NRC_A", "NRC_D"])
    assert nrc.points == taxonomy_coordinates(EMOTIONS).points
    assert (
        file_coordinates(
            path, EMOTIONS, ["label", "Warriner_V", "Warriner_A", "Warriner_D"]
        ).missing
        == ()
    )
    russell = file_coordinates(path, EMOTIONS, ["label", "RM_P", "RM_A", "RM_D"])
    assert russell.missing == ("desire", "grief", "realization", "relief", "neutral")
