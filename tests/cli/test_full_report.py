"""`emomtl report --full`: which texts stay out of the page, what it refuses, and where it reads
rows.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

POSTS = """
from emomtl import Example, Files, Regression, SingleLabel, Task, Taxonomy, hookimpl

FILES = Files("*", columns=None, split_column="part")


@hookimpl
def emomtl_tasks():
    return [
        Task(
            "posts",
            FILES,
            lambda row: Example(row["text"], row["label"].split("|")[0]),
            Taxonomy(["joy", "anger", "sadness", "fear"]),
            head=SingleLabel(),
            sensitive=True,
        ),
        Task("lengths", FILES, lambda row: Example(row["text"], len(row["text"])), head=Regression()),
    ]
"""


def texts_of(path: Path) -> list[str]:
    return [line.split(",")[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def test_texts_of_a_sensitive_task_are_nowhere_in_the_page(
    desk: Any, cli: Any, install: Any, tmp_path: Path
) -> None:
    install("emomtl-posts", {"emomtl_posts": POSTS}, {"posts": "emomtl_posts"})
    shutil.copy(desk.folder / "topics.csv", desk.folder / "sizes.csv")
    tasks = {
        "posts": {"source": "mood.csv"},
        "lengths": {"source": "sizes.csv"},
        "mood": None,
        "topics": None,
    }
    run = desk.train(
        desk.manifest(tasks=tasks, sampler={"use": "uniform"}, weighting={"use": "equal"})
    )
    outputs = {
        option: tmp_path / f"out{option}" for option in ("--html", "--markdown", "--csv", "--latex")
    }
    said = cli(
        "report",
        run.folder,
        "--full",
        "--json",
        *(part for pair in outputs.items() for part in pair),
    )
    assert said.code == 0, said.err
    page = outputs.pop("--html").read_text(encoding="utf-8")
    assert "The task is sensitive" in page
    assert "posts (small)" in page
    assert not any(text in page for text in texts_of(desk.folder / "mood.csv"))
    assert any(text in page for text in texts_of(desk.folder / "sizes.csv"))
    assert "Gradient conflicts" in page
    others = (
        said.out + said.err + "".join(path.read_text(encoding="utf-8") for path in outputs.values())
    )
    assert not any(
        text in others
        for name in ("mood", "sizes")
        for text in texts_of(desk.folder / f"{name}.csv")
    )


def test_changed_rows_are_refused_and_a_source_is_accepted(
    desk: Any, cli: Any, tmp_path: Path
) -> None:
    run, page = desk.train(desk.manifest()), tmp_path / "page.html"
    assert cli("eval", run.folder, "--split", "test").code == 0
    before = (run.folder / "scores.json").read_bytes()
    elsewhere = tmp_path / "elsewhere.csv"
    shutil.move(desk.folder / "mood.csv", elsewhere)
    assert cli("report", run.folder, "--html", page, "--full").code == 1
    source = ("--source", f"mood={elsewhere}")
    said = cli(
        "report", run.folder, "--html", page, "--full", "--errors", "0", "--split", "test", *source
    )
    assert said.code == 0, said.err
    assert "Worst errors" not in page.read_text(encoding="utf-8")
    assert "a look at test" in page.read_text(encoding="utf-8")
    assert (run.folder / "scores.json").read_bytes() == before
    elsewhere.write_text(
        elsewhere.read_text(encoding="utf-8") + "one more joy,joy,train\n", encoding="utf-8"
    )
    said = cli("report", run.folder, "--html", page, "--full", *source)
    assert (said.code, "not the one that the run was trained on" in said.err) == (1, True)


def test_full_needs_a_page_and_sources_that_are_tasks(
    trained: Any, cli: Any, tmp_path: Path
) -> None:
    said = cli("report", trained.folder, "--full")
    assert (said.code, "--html FILE" in said.err) == (1, True)
    said = cli(
        "report",
        trained.folder,
        "--full",
        "--html",
        tmp_path / "page.html",
        "--source",
        "mod=/nowhere",
    )
    assert (said.code, "did you mean 'mood'?" in said.err) == (1, True)
    assert not (tmp_path / "page.html").exists()


def test_two_runs_stand_side_by_side(desk: Any, trained: Any, cli: Any, tmp_path: Path) -> None:
    alone = desk.train(desk.manifest("alone", tasks={"topics": None}))
    sources = ("--source", f"mood={Path(trained.folder).parent / 'mood.csv'}")
    page = tmp_path / "page.html"
    said = cli("report", trained.folder, alone.folder, "--html", page, "--full", *sources)
    assert said.code == 0, said.err
    text = page.read_text(encoding="utf-8")
    assert "mood (alone)" in text
    assert "mood (small)" in text
    assert "Spaces" in text or "Not shown" in text


def test_leaks_are_counted_and_warned_of(desk: Any, cli: Any, tmp_path: Path) -> None:
    lines = (desk.folder / "mood.csv").read_text(encoding="utf-8").splitlines()
    held = next(line for line in lines if line.endswith(",validation"))
    again = (
        held.removesuffix(",validation").upper().rsplit(",", 1)[0]
        + ","
        + held.split(",")[1]
        + ",train"
    )
    (desk.folder / "leaky.csv").write_text("\n".join([*lines, again]) + "\n", encoding="utf-8")
    page = tmp_path / "page.html"
    for drop, said in (
        (False, "leaky, mood: 1 training rows"),
        (True, "the run left out every training row"),
    ):
        tasks = {"mood": {"source": "leaky.csv"}}
        run = desk.train(
            desk.manifest("leaky" if not drop else "clean", tasks=tasks, data={"drop_leaks": drop})
        )
        assert cli("report", run.folder, "--html", page, "--full", "--errors", "0").code == 0
        assert said in page.read_text(encoding="utf-8")
        shutil.rmtree(run.folder)
