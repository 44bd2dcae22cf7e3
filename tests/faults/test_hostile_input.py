"""Whatever is read may have been made to hurt: code, ways out, files that were changed or swapped,
bombs, and odd characters.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_inputs import INPUTS

from emomtl import EmomtlError, MultiLabel
from emomtl.data.cache.store import Store
from emomtl.manifest.models import EncoderTable, Manifest, TaskTable
from emomtl.run import Run, find_checkpoint, open_own
from emomtl.run.digest import seal_folder
from emomtl.run.predictions import recorded_predictions
from emomtl.run.tuned import tuning_of

Refusing = Any
"""`Refusing` of conftest.py: runs a command that has to be refused, and gives its message."""

UNSEALED = {"metrics.jsonl", "log.txt", ".lock", ".scores-lock", ".lock-holder.json"}
"""Files of a run that say no digest: they grow line by line, or are for the moment."""

# -- code
# ---------------------------------------------------------------------------------------------------------------


def payload(ran: Path) -> str:
    return f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Model: pass\n"


NAMING_CODE: dict[str, tuple[str, Any, str]] = {
    "a class of its own": (
        "config.json",
        {"auto_map": {"AutoConfig": "planted.Model", "AutoModel": "planted.Model"}},
        "auto_map",
    ),
    "a tokenizer of its own": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["planted.Model", None]}},
        "auto_map",
    ),
    "a part with a class of its own": (
        "config.json",
        {"text_config": {"auto_map": {"AutoModel": "planted.Model"}}},
        "auto_map",
    ),
    "consent in the file itself": ("config.json", {"trust_remote_code": True}, "trust_remote_code"),
    "compiled kernels": (
        "config.json",
        {"_attn_implementation": "somebody/kernels"},
        "_attn_implementation",
    ),
    "kernels by another key": (
        "config.json",
        {"_attn_implementation_internal": "a/b"},
        "_attn_implementation_internal",
    ),
    "a way to generate": ("generation_config.json", {"custom_generate": "a/b"}, "custom_generate"),
}


@pytest.mark.parametrize("what", NAMING_CODE)
def test_an_encoder_that_names_code_is_refused(
    desk: Any, refused: Refusing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    import transformers

    monkeypatch.setattr(
        transformers.AutoConfig,
        "from_pretrained",
        lambda *_, **__: pytest.fail("transformers was asked"),
    )
    folder = shutil.copytree(desk.encoder, desk.folder / "planted")
    (folder / "planted.py").write_text(payload(tmp_path / "ran"))
    file, keys, said = NAMING_CODE[what]
    content = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps(content | keys))
    message = refused(
        "train", desk.manifest(encoder={"use": str(folder)}), "--out", desk.folder / "run"
    )
    assert f"names code ('{said}'" in message
    assert file in message
    assert not (tmp_path / "ran").exists()


def test_a_run_encoder_that_names_code_is_refused(
    finished: tuple[Path, Refusing], tmp_path: Path
) -> None:
    folder, refused = finished
    config = json.loads((folder / "encoder" / "config.json").read_text())
    (folder / "encoder" / "planted.py").write_text(payload(tmp_path / "ran"))
    (folder / "encoder" / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoConfig": "planted.Model"}})
    )
    for command in (["eval", folder], ["predict", folder, "happy"]):
        assert "planted.py: damaged: it is not what this run wrote" in refused(*command).replace(
            "config.json", "planted.py"
        )
    seal_folder(folder / "encoder", Run.open(folder).identity)
    for command in (["eval", folder], ["predict", folder, "happy"]):
        assert "names code ('auto_map'); emomtl runs none" in refused(*command)
    assert not (tmp_path / "ran").exists()


def test_no_key_lets_a_model_s_code_run(refused: Refusing, desk: Any) -> None:
    from emomtl.study.models import Study

    for model in (Manifest, Study):
        assert "remote_code" not in json.dumps(model.model_json_schema())
    message = refused(
        "train", desk.manifest(encoder={"trust_remote_code": True}), "--out", desk.folder / "run"
    )
    assert "encoder.trust_remote_code: unknown key" in message


def test_reports_run_no_plugin_file_of_a_run(desk: Any, cli: Any, tmp_path: Path) -> None:
    (desk.folder / "mine.py").write_text("")
    desk.train(desk.manifest(plugins=["./mine.py"], train={"steps": 1}))
    (desk.folder / "run" / "plugins" / "mine.py").write_text(payload(tmp_path / "ran"))
    assert cli("report", desk.folder / "run").code == 0
    assert not (tmp_path / "ran").exists()


def test_a_changed_copy_of_a_plugin_file_is_not_run(
    desk: Any, refused: Refusing, tmp_path: Path
) -> None:
    (desk.folder / "mine.py").write_text("")
    desk.train(desk.manifest(plugins=["./mine.py"], train={"steps": 1}))
    (desk.folder / "run" / "plugins" / "mine.py").write_text(payload(tmp_path / "ran"))
    trust = "--trust-plugins"
    for command in (
        ["eval", desk.folder / "run", trust],
        ["predict", desk.folder / "run", "happy", trust],
    ):
        assert "mine.py: damaged: its SHA-256 is not the one that the run noted" in refused(
            *command
        )
    assert not (tmp_path / "ran").exists()


# -- files that were changed or swapped
# -----------------------------------------------------------------------------------


def everything(folder: Path) -> list[Any]:
    """All that a command reads of a run; EmomtlError where something is not what was written."""
    run = Run.open(folder)
    run.kept_encoder()
    found: list[Any] = [run.name, run.identity, run.manifest, dict(run.environment), run.scores()]
    for entry in run.scores():
        for task in entry["tasks"] if "answers" in entry else ():
            kept = recorded_predictions(run, entry["split"], entry["checkpoint"], task)
            assert kept is not None
            found.append([part.tobytes() for part in kept])
            found.append(tuning_of(run, entry["checkpoint"], task, MultiLabel()))
    found.append(open_own(run, find_checkpoint(run, "last").resolve()).state)
    return found


def change(path: Path, draw: random.Random) -> None:
    """One byte another, a part cut off, or bytes appended."""
    data = path.read_bytes()
    at = draw.randrange(len(data))
    cut, longer = data[:at], data + data[:at] + b"x"
    flipped = data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :]
    path.write_bytes(draw.choice((flipped, flipped, flipped, cut, longer)))


def changes(folder: Path, times: int) -> tuple[int, list[str]]:
    """Change one file of a run at a time: how many were refused, and the files that were read as
    something else.
    """
    seed = random.SystemRandom().randrange(2**32)
    print("seed of the changes:", seed)
    draw, refused, wrong = random.Random(seed), 0, []
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in UNSEALED and path.stat().st_size
    )
    files = [path for path in files if "checkpoints" not in path.parts[len(folder.parts) :]]
    whole = everything(folder)
    for number in range(times):
        path = files[number % len(files)]
        data = path.read_bytes()
        change(path, draw)
        try:
            if everything(folder) != whole:
                wrong.append(path.name)
        except EmomtlError as error:
            refused += path.name in str(error)
        path.write_bytes(data)
    assert everything(folder) == whole
    return refused, wrong


def test_a_changed_byte_in_any_file_is_refused_by_name(finished: tuple[Path, Refusing]) -> None:
    refused, wrong = changes(finished[0], 60)
    assert not wrong
    # a change within the word "sha256" of a JSON file takes away a digest, and nothing else
    assert refused >= 54


def test_a_manifest_that_was_cut_off_is_no_older_one(tmp_path: Path) -> None:
    run = made(tmp_path, "mine")
    whole = (run / "manifest.toml").read_bytes()
    for length in range(0, len(whole), 37):
        (run / "manifest.toml").write_bytes(whole[:length])
        with pytest.raises(EmomtlError, match="its last line, with the digest, is missing"):
            everything(run)
    (run / "manifest.toml").write_bytes(
        whole.rpartition(b"# sha256")[0].replace(b"seed = 17", b"seed = 18")
    )
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps({key: value for key, value in about.items() if key != "sha256"})
    )
    assert Run.open(run).manifest.seed == 18


@pytest.mark.long
def test_a_thousand_changes_are_refused_or_change_nothing(finished: tuple[Path, Refusing]) -> None:
    refused, wrong = changes(finished[0], 1_000)
    print("refused:", refused)
    assert not wrong
    assert refused >= 950


def made(folder: Path, name: str) -> Path:
    manifest = Manifest(name=name, encoder=EncoderTable(use="minilm"), tasks={"demo": TaskTable()})
    with Run.create(folder / name, manifest, {"device": "cpu"}) as run:
        run.keep_encoder(lambda there: (there / "config.json").write_text("{}"))
        run.add_scores({"split": "test", "checkpoint": "step-1", "step": 1, "tasks": {}})
    return folder / name


@pytest.mark.parametrize(
    "file", ["manifest.toml", "environment.json", "scores.json", "encoder/sha256.json", "run.json"]
)
def test_a_file_of_another_run_is_refused(tmp_path: Path, file: str) -> None:
    mine, other = made(tmp_path, "mine"), made(tmp_path, "other")
    shutil.copy(other / file, mine / file)
    with pytest.raises(EmomtlError) as caught:
        everything(mine)
    (problem,) = caught.value.problems
    assert "damaged: it is not what this run wrote into it" in str(problem)
    assert problem.remedy


def test_a_cache_entry_under_another_key_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    said: list[str] = []
    store = Store(tmp_path / "cache", said.append)
    store.keep("a" * 64, {"ids": np.arange(3)}, {})
    (tmp_path / "cache" / ("a" * 64)).rename(tmp_path / "cache" / ("b" * 64))
    assert store.find("b" * 64, lambda facts, arrays: arrays) is None
    assert said == [
        f"the cache's entry {'b' * 12} is damaged (it was written under another key) and is made"
        " again"
    ]
    store.keep("b" * 64, {"ids": np.arange(3)}, {})
    assert store.find("b" * 64, lambda facts, arrays: len(arrays["ids"])) == 3


def test_a_pickle_in_place_of_an_array_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    store = Store(tmp_path / "cache", lambda said: None)

    class Planted:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    store.keep("a" * 64, {"ids": np.arange(3)}, {})
    place = tmp_path / "cache" / ("a" * 64)
    np.save(place / "ids.npy", np.array([Planted()], dtype=object), allow_pickle=True)
    resealed(place)
    assert store.find("a" * 64, lambda facts, arrays: arrays) is None
    assert not (tmp_path / "ran").exists()


def resealed(place: Path) -> None:
    """Let the description of an entry fit whatever lies there now."""
    import hashlib

    facts = json.loads((place / "entry.json").read_text())
    del facts["sha256"]
    data = (place / "ids.npy").read_bytes()
    facts["files"]["ids.npy"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    facts["sha256"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    (place / "entry.json").write_text(json.dumps(facts))


# -- ways out
# -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", ".", "a\0b", "a\\b", "\u202eb"])
def test_a_name_that_could_be_a_path_is_refused(refused: Refusing, desk: Any, name: str) -> None:
    manifest = desk.manifest(tasks={name: {"use": "table", "source": "mood.csv"}})
    assert "tasks" in refused("check", manifest)
    manifest.write_text(
        desk.manifest().read_text().replace('name = "small"', f"name = {json.dumps(name)}")
    )
    assert "name: " in refused("check", manifest)


def test_a_link_out_of_a_folder_of_rows_is_refused(refused: Refusing, cli: Any, desk: Any) -> None:
    folder = desk.folder / "rows"
    folder.mkdir()
    (folder / "all.csv").write_text(
        "text,label\n" + "".join(f"text {n},{'joy' if n % 2 else 'fear'}\n" for n in range(40))
    )
    (folder / "train.csv").symlink_to("all.csv")
    task = {"use": "table", "source": "rows", "options": {"validation": 0.2, "test": 0.2}}
    manifest = desk.manifest(
        tasks={"mood": None, "topics": None, "mine": task}, weighting={"use": "equal"}
    )
    assert cli("check", manifest, "--no-step").code == 0
    (folder / "train.csv").unlink()
    (folder / "train.csv").symlink_to(desk.folder / "mood.csv")
    message = refused("train", manifest, "--out", desk.folder / "run")
    assert "'train.csv' is a link that leads out of the folder, to" in message
    assert "name the folder in which the rows lie" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [("manifest", "../elsewhere.toml"), ("manifest", "/etc/passwd"), ("folder", "/etc")],
)
def test_a_study_s_folder_cannot_name_files_elsewhere(
    tmp_path: Path, cli: Any, key: str, value: str
) -> None:
    run = {
        "row": "a",
        "seed": 1,
        "target": "t",
        "identity": "x",
        "updates": 1,
        "manifest": "manifests/a.toml",
        "folder": "runs/a",
    }
    study = {"name": "s", "target": "t", "rows": [{"name": "a"}]}
    content = {
        "format": 1,
        "file": "s.toml",
        "study": study,
        "scale": None,
        "metrics": {"a": "rmse"},
        "runs": [{**run, key: value}],
    }
    (tmp_path / "study.json").write_text(json.dumps(content))
    said = cli("report", tmp_path)
    assert (said.code, said.out) == (1, "")
    assert "study.json: damaged: it is not what emomtl writes" in said.err


# -- bombs
# ----------------------------------------------------------------------------------------------------------------


def test_the_combinations_of_long_axes_are_counted_and_not_made(tmp_path: Path, cli: Any) -> None:
    (tmp_path / "s.toml").write_bytes(
        INPUTS["study", "a row for every combination of thirty axes"]()
    )
    said = cli("study", tmp_path / "s.toml", "--plan")
    assert (said.code, said.out) == (1, "")
    assert (
        "axes: the axes make 1,073,741,824 rows (at most 10,000: write the rows that you want as"
        " [[rows]])" in said.err
    )


def test_a_double_label_among_many_is_found_at_once() -> None:
    from emomtl import Taxonomy

    with pytest.raises(EmomtlError, match="label 'l7' stands twice"):
        Taxonomy([*(f"l{number}" for number in range(200_000)), "l7"])


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_no_input_costs_more_time_or_memory_than_is_promised() -> None:
    """2 s, a second a megabyte and 30 microseconds a line, on a machine of 3 GHz; 100 MB and ten
    times the input.
    """
    command = [sys.executable, str(Path(__file__).with_name("hostile_child.py"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-2_000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(INPUTS)
    assert not [one for one in found if "died" in one]
    promised = {
        id(cost): (2 + cost["size"] + 30e-6 * cost["lines"]) * cost["slowness"] for cost in found
    }
    assert not [cost for cost in found if cost["seconds"] > promised[id(cost)]]
    # pyarrow unpacks a cell whole before its size is known: 8 bytes for each of a list's values
    # (docs/reliability.md)
    most = {"a list of fifty million": 600.0}
    assert not [
        cost
        for cost in found
        if cost["megabytes"] > most.get(cost["input"], 100 + 10 * cost["size"])
    ]


# -- characters
# -----------------------------------------------------------------------------------------------------------

CHARACTERS = [
    "\x1b[31mred\x1b[0m",
    "\u202eback\u202c",
    "bell\a",
    "\x1b]0;title\a",
    "\u2066iso\u2069",
    "\x9b2J",
    "\ufeffmark",
    "a\u200bb",
]


def test_control_and_bidi_characters_never_reach_the_terminal(desk: Any, cli: Any) -> None:
    import csv

    labels = [f"joy{odd}end" for odd in CHARACTERS[:4]]  # what stands at an end is trimmed
    with (desk.folder / "odd.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[f"{odd} happy {n}", labels[n % 4]] for n in range(12) for odd in CHARACTERS]
        csv.writer(file).writerows([["text", "label"], *rows])
    task = {"use": "table", "source": "odd.csv", "options": {"validation": 0.3, "test": 0.2}}
    manifest = desk.manifest(
        tasks={"mood": None, "topics": None, "odd": task},
        train={"steps": 2},
        weighting={"use": "equal"},
    )
    said = [
        cli("check", manifest, "--no-step"),
        cli("train", manifest, "--out", desk.folder / "run"),
    ]
    run = desk.folder / "run"
    said += [
        cli("eval", run),
        cli("predict", run, "--", *CHARACTERS),
        cli("predict", run, "happy", "--json"),
        cli("report", run),
        cli("data", "audit", manifest),
    ]
    for one in said:
        assert one.code == 0, one.err
        odd = {character for character in one.out + one.err if not character.isprintable()} - {"\n"}
        assert not odd, repr(one)
    assert json.loads(cli("predict", run, "happy", "--json").out)["odd"][
        "probabilities"
    ].keys() == set(labels)
    session = desk.begin(manifest, "again")
    session.run.close()
    texts = [text for part in session.data.corpora[0].splits.values() for text in part.texts]
    assert all(any(text.startswith(odd) for text in texts) for odd in CHARACTERS)


def test_a_label_with_a_lone_surrogate_is_refused(desk: Any, refused: Refusing) -> None:
    rows = [{"text": f"happy {n}", "label": ["joy\ud83d", "fear"][n % 2]} for n in range(40)]
    (desk.folder / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"use": "table", "source": "odd.jsonl", "options": {"validation": 0.3, "test": 0.2}}
    manifest = desk.manifest(
        tasks={"mood": None, "topics": None, "odd": task}, weighting={"use": "equal"}
    )
    message = refused("train", manifest, "--out", desk.folder / "run")
    assert "is not text that UTF-8 can hold (write it without lone surrogates)" in message


def test_names_with_control_characters_are_refused_and_escaped(
    refused: Refusing, desk: Any
) -> None:
    (desk.folder / "odd.csv").write_text("\x1b[2Jtext,\u202elabel\na,joy\n", encoding="utf-8")
    task = {"use": "table", "source": "odd.csv"}
    manifest = desk.manifest(
        tasks={"mood": None, "topics": None, "odd": task}, weighting={"use": "equal"}
    )
    message = refused("train", manifest, "--out", desk.folder / "run", problems=2)
    assert "\x1b" not in message
    assert "\u202e" not in message
