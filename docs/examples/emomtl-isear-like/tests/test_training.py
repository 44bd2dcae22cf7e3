"""The manifest of this plugin trains, and its listeners hear the run."""

import pytest

from emomtl.plugins.discovery import Plugins
from emomtl.testing import train_briefly


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The manifest, trained for four steps on a tiny encoder."""
    plugins = Plugins.discover()
    manifest = plugins.offer("manifest", "isear-like-with-demo").value
    return train_briefly(manifest, tmp_path_factory.mktemp("trained"), steps=4, plugins=plugins)


def test_both_tasks_are_scored(run):
    assert {task for entry in run.scores() for task in entry["tasks"]} == {"isear-like", "demo"}


def test_the_table_has_a_line_for_each_loss_and_step(run):
    lines = (run.folder / "losses.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,task,loss"
    assert [line.split(",")[:2] for line in lines[1:4]] == [["1", "isear-like"], ["1", "demo"], ["1", "isear-like/tidy"]]
    assert len(lines) == 1 + 4 * 3


def test_the_loss_of_the_objective_is_logged_under_its_task(run):
    logged = [event["losses"] for event in run.events() if event["event"] == "step"]
    assert all("isear-like/tidy" in losses for losses in logged)


def test_the_log_says_what_the_listener_noted(run):
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert "is done worst" in log
    assert "losses.csv is complete up to step-00000004" in log
    assert "losses by step: " in log


def test_a_run_goes_on_without_a_stop_file_and_ends_with_one(run):
    stop = Plugins.discover()
    stop.activate("emomtl-isear-like", run.folder)
    assert stop.emit("emomtl_should_stop", run=run, scores={}) == []
    (run.folder / "STOP").write_text("the figures are good enough\n", encoding="utf-8")
    assert stop.emit("emomtl_should_stop", run=run, scores={}) == ["the figures are good enough"]


def test_the_exporter_writes_what_gives_the_logits_of_the_run(tmp_path):
    from emomtl.export.exporting import ExportOrder, export_run

    manifest = tmp_path / "alone.toml"
    manifest.write_text('name = "alone"\n[encoder]\nuse = "minilm"\n[tasks.isear-like]\n', encoding="utf-8")
    run = train_briefly(manifest, tmp_path / "run", steps=4)
    (exported,) = export_run(ExportOrder(run.folder, "plain-heads", tmp_path / "out"), Plugins.discover())
    assert {"heads.json", "config.json", "emomtl.json"} <= {path.name for path in exported.folder.iterdir()}
    assert all(facts["largest_logit_difference"] < 1e-4 for facts in exported.verified.values())
