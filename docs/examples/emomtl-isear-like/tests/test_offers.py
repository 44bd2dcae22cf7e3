"""What this plugin offers does what emomtl expects; everything is found as a user's manifest finds it."""

import pytest

from emomtl import EmomtlError
from emomtl.plugins.discovery import Plugins
from emomtl.testing import check_change, check_feature, check_head, check_objective, check_sampler, check_task, check_weighting

PLUGINS = Plugins.discover()


def test_the_task_reads_every_row_and_each_emotion_has_thirty():
    report = check_task(PLUGINS.offer("task", "isear-like").value)
    assert report.rows == 210
    assert set(report.labels.values()) == {30}


def test_an_emotion_with_a_typo_is_refused_with_its_row():
    rows = [{"incident": "I won.", "emotion": "joyy"}, {"incident": "I lost.", "emotion": "sadness"}]
    with pytest.raises(EmomtlError, match=r"train row 1: unknown label 'joyy' \(did you mean 'joy'\?\)"):
        check_task(PLUGINS.offer("task", "isear-like").value, rows)


def test_the_sampler_gives_probabilities():
    check_sampler(PLUGINS.offer("sampler", "by-need").value())
    check_sampler(PLUGINS.offer("sampler", "by-need").value(sharpness=3.0))


def test_the_weighting_trains_and_can_be_resumed():
    check_weighting(PLUGINS.offer("weighting", "geometric").value())


def test_the_head_has_a_loss_and_figures_for_the_labels_of_the_task():
    task = PLUGINS.offer("task", "isear-like").value
    check_head(PLUGINS.offer("head", "smoothed").value(smoothing=0.2), task.taxonomy)


def test_the_objective_has_a_loss_for_the_labels_of_the_task():
    task = PLUGINS.offer("task", "isear-like").value
    check_objective(PLUGINS.offer("objective", "near-centre").value(margin=0.1), task.taxonomy)


def test_the_feature_gives_every_text_its_own_numbers():
    check_feature(PLUGINS.offer("feature", "lengths").value(most=50))


def test_the_encoder_names_a_repository_of_the_hub():
    assert PLUGINS.offer("encoder", "bert-tiny").value.locate().startswith("google/")


def test_the_change_can_be_applied_again_and_leaves_the_encoder_answering():
    for norms in (False, True):
        check_change(PLUGINS.offer("change", "biases-only").value(norms=norms))
