"""Every wrong manifest of a corpus is answered with the place, the line and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from emomtl.errors import EmomtlError
from emomtl.manifest import read_draft, read_manifest

START = 'name = "a"\n[encoder]\nuse = "e"\n[tasks.x]\n'
"""The least manifest; what is added to it begins in line 5."""

TRAIN = START + "[train]\n"

WRONG: list[tuple[str, str, str, int | None, str]] = [
    # unknown keys
    ("synonym", TRAIN + "learning_rate = 1e-5", "train.learning_rate", 6, "did you mean 'lr'?"),
    ("singular", TRAIN + "epoch = 1", "train.epoch", 6, "did you mean 'epochs'?"),
    ("batch", TRAIN + "batch = 1", "train.batch", 6, "did you mean 'batch_size'?"),
    (
        "max_len",
        START.replace('"e"', '"e"\nmax_len = 9'),
        "encoder.max_len",
        4,
        "did you mean 'max_tokens'?",
    ),
    (
        "max_length",
        START.replace('"e"', '"e"\nmax_length = 9'),
        "encoder.max_length",
        4,
        "did you mean 'max_tokens'?",
    ),
    (
        "model",
        'name = "a"\n[encoder]\nmodel = "e"\n[tasks.x]\n',
        "encoder.model",
        3,
        "did you mean 'use'?",
    ),
    ("typo", TRAIN + "wramup = 0.1", "train.wramup", 6, "did you mean 'warmup'?"),
    ("hyphen", TRAIN + "learning-rate = 1e-5", "train.learning-rate", 6, "did you mean 'lr'?"),
    ("capitals", TRAIN + "Epoch = 1", "train.Epoch", 6, "did you mean 'epochs'?"),
    ("gibberish", TRAIN + "qqq = 1", "train.qqq", 6, "known: accumulate, batch_size"),
    ("wrong table", "lr = 1.0\n" + START, "lr", 1, "'lr' belongs under [train]"),
    ("two tables", "batch_size = 1\n" + START, "batch_size", 1, "belongs under [train] or [eval]"),
    (
        "synonym elsewhere",
        "learning_rate = 1.0\n" + START,
        "learning_rate",
        1,
        "'lr' belongs under [train]",
    ),
    ("table", START + "[trian]\nlr = 1.0", "trian", 5, "did you mean 'train'?"),
    ("task key", START + "wieght = 1.0", "tasks.x.wieght", 5, "did you mean 'weight'?"),
    ("task option outside", START + "text = 'review'", "tasks.x.text", 5, "known: balance"),
    ("homoglyph", TRAIN + '"\u0435pochs" = 1', 'train."\u0435pochs"', 6, "did you mean 'epochs'?"),
    ("control", TRAIN + '"a\\u0007b" = 1', 'train."a\\x07b"', 6, "unknown key"),
    ("line break in key", TRAIN + '"a\\nb" = 1', 'train."a\\nb"', 6, "unknown key"),
    ("dotted", START + "train.lrr = 1", "tasks.x.train", 5, "unknown key"),
    ("inline", "train = { lrr = 1 }\n" + START, "train.lrr", 1, "did you mean 'lr'?"),
    (
        "inline on several lines",
        "train = {\n lr = 1.0,\n lrr = 1,\n}\n" + START,
        "train.lrr",
        1,
        "did you mean 'lr'?",
    ),
    # numbers that no machine bears
    (
        "threads",
        TRAIN + "threads = 1000000",
        "train.threads",
        6,
        "found the whole number 1000000 (expected",
    ),
    (
        "examples of a step",
        TRAIN + "batch_size = 1000000000000",
        "train.batch_size",
        6,
        "found the whole number 1000000000000",
    ),
    ("weight", START + "weight = 1e308", "tasks.x.weight", 5, "found the number 1e+308 (expected"),
    (
        "weight of an objective",
        START + '[objectives.o]\nuse = "u"\ntask = "x"\nweight = 1e308',
        "objectives.o.weight",
        8,
        "found the number 1e+308 (expected",
    ),
    # wrong types
    (
        "text for number",
        TRAIN + 'lr = "2e-5"',
        "train.lr",
        6,
        "found the text '2e-5' (expected a number greater than 0; write 2e-5 without",
    ),
    (
        "text for int",
        TRAIN + 'batch_size = "many"',
        "train.batch_size",
        6,
        "expected a whole number greater than 0",
    ),
    (
        "fraction for int",
        TRAIN + "batch_size = 1.5",
        "train.batch_size",
        6,
        "found the number 1.5 (expected a whole number",
    ),
    (
        "whole float for int",
        TRAIN + "batch_size = 32.0",
        "train.batch_size",
        6,
        "found the number 32.0",
    ),
    ("bool for int", "seed = true\n" + START, "seed", 1, "found true (expected a whole number"),
    ("bool for number", TRAIN + "lr = true", "train.lr", 6, "found true (expected a number"),
    (
        "int for bool",
        START + "[data]\nbuckets = 1",
        "data.buckets",
        6,
        "found the whole number 1 (expected true or false",
    ),
    (
        "text for bool",
        START + '[data]\nbuckets = "True"',
        "data.buckets",
        6,
        "write true without quotes",
    ),
    (
        "int for text",
        START.replace('"e"', "3"),
        "encoder.use",
        3,
        "expected text; text goes in quotes",
    ),
    (
        "list for text",
        START.replace('"e"', '["e"]'),
        "encoder.use",
        3,
        "found a list of 1 (expected text",
    ),
    ("text for list", 'plugins = "p"\n' + START, "plugins", 1, "expected a list, each text"),
    (
        "item of a list",
        'plugins = [\n "p",\n 3,\n]\n' + START,
        "plugins[1]",
        1,
        "found the whole number 3 (expected text",
    ),
    (
        "text for table",
        'train = "fast"\n' + START,
        "train",
        1,
        "found the text 'fast' (expected a table",
    ),
    (
        "number for tasks",
        'tasks = 3\nname = "a"\nencoder.use = "e"',
        "tasks",
        1,
        "found the whole number 3 (expected a table",
    ),
    (
        "number for a task",
        'name = "a"\nencoder.use = "e"\n[tasks]\nx = 3',
        "tasks.x",
        4,
        "expected a table",
    ),
    (
        "list of tables",
        START + "[[train]]\nlr = 1.0",
        "train",
        5,
        "found a list of 1 (expected a table",
    ),
    ("date", TRAIN + "lr = 2026-11-24", "train.lr", 6, "found the date or time 2026-11-24"),
    (
        "date in an option",
        START + "[sampler]\nuse = 's'\nsince = 2026-11-24",
        "sampler.since",
        7,
        "a finite number, text, true or false",
    ),
    (
        "three betas",
        TRAIN + "betas = [0.9, 0.99, 0.999]",
        "train.betas",
        6,
        "a list of 2: each a number of at least 0 and less than 1",
    ),
    (
        "one beta",
        TRAIN + "betas = [0.9]",
        "train.betas",
        6,
        "found a list of 1 (expected a list of 2: each a number",
    ),
    ("beta", TRAIN + "betas = [0.9, 1.0]", "train.betas[1]", 6, "found the number 1.0"),
    ("long text", TRAIN + f"lr = '{'z' * 500}'", "train.lr", 6, "zzz…'"),
    # ranges and choices
    ("zero rate", TRAIN + "lr = 0.0", "train.lr", 6, "greater than 0"),
    ("negative", TRAIN + "lr = -1", "train.lr", 6, "found the whole number -1"),
    (
        "nan",
        TRAIN + "lr = nan",
        "train.lr",
        6,
        "found the number nan (expected a number greater than 0",
    ),
    ("infinity", START + "weight = inf", "tasks.x.weight", 5, "found the number inf"),
    ("infinite option", START + "[sampler]\nuse = 's'\nt = inf", "sampler.t", 7, "a finite number"),
    ("large seed", "seed = 4294967296\n" + START, "seed", 1, "less than 4294967296"),
    ("65 bits", "seed = 18446744073709551616\n" + START, "seed", 1, "outside the range of 64 bits"),
    ("5000 digits", f"seed = 1{'0' * 5000}\n" + START, "", 1, "outside the range of 64 bits"),
    (
        "few tokens",
        START.replace('"e"', '"e"\nmax_tokens = 3'),
        "encoder.max_tokens",
        4,
        "a whole number from 4 to 8192",
    ),
    (
        "choice",
        START + '[sampler]\nper_step = "every"',
        "sampler.per_step",
        6,
        "one of 'one', 'all'",
    ),
    (
        "choice elsewhere",
        TRAIN + 'per_step = "all"',
        "train.per_step",
        6,
        "'per_step' belongs under [sampler]",
    ),
    (
        "near choice",
        START.replace('"e"', '"e"\npooling = "men"'),
        "encoder.pooling",
        4,
        "did you mean 'mean'?",
    ),
    (
        "choice in capitals",
        TRAIN + 'device = "CUDA:0"',
        "train.device",
        6,
        "one of 'auto', 'cpu', 'cuda'",
    ),
    ("name with a blank", START.replace('"a"', '"a b"'), "name", 1, "a name of letters, digits"),
    ("name that leads out", START.replace('"a"', '"../a"'), "name", 1, "a name of letters, digits"),
    ("long name", START.replace('"a"', f'"{"a" * 101}"'), "name", 1, "at most 100 characters"),
    ("name of a task", START + '[tasks."b c"]', 'tasks."b c"', 5, "is not usable as a name: 'b c'"),
    (
        "tied names",
        START + "[tasks.go-emotions]\n[tasks.go_emotions]",
        "tasks.go_emotions",
        6,
        "two tasks tied to one name: 'go-emotions'",
    ),
    ("tied case", START + "[tasks.X]", "tasks.X", 5, "two tasks tied to one name"),
    # what is missing, and what does not go together
    ("no name", START.removeprefix('name = "a"\n'), "name", None, "missing key (expected a name"),
    (
        "no encoder",
        'name = "a"\n[tasks.x]',
        "encoder",
        None,
        "missing key (expected a table with `use`",
    ),
    (
        "no use",
        'name = "a"\n[encoder]\n[tasks.x]',
        "encoder.use",
        2,
        "missing key (expected text: a short name",
    ),
    ("no tasks", 'name = "a"\n[encoder]\nuse = "e"', "tasks", None, "a table such as [tasks.NAME]"),
    ("empty tasks", 'name = "a"\n[encoder]\nuse = "e"\n[tasks]', "tasks", 4, "no task"),
    ("weighting without use", START + "[weighting]\nalpha = 1", "weighting.use", 5, "missing key"),
    ("two lengths", TRAIN + "epochs = 1\nsteps = 2", "train", 5, "epochs and steps are given"),
    ("target alone", TRAIN + 'target = "x"', "train", 5, "go together"),
    (
        "tuned",
        START + '[eval]\nselect = "x/macro_f1_tuned"',
        "eval.select",
        6,
        "select by an untuned one",
    ),
    # what is not TOML
    ("empty", "", "", None, "the manifest is empty"),
    ("comment", "# nothing\n", "", None, "`emomtl init` writes a manifest"),
    ("no quotes", START.replace('"e"', "e"), "", 3, "text goes in quotes"),
    ("no value", START + "weight =", "", 5, "not valid TOML"),
    ("no equals sign", START + "weight", "", 5, "a line is key = value"),
    ("yaml", "name: a\nencoder:\n", "", 1, "a line is key = value"),
    ("open text", START + "source = 'x", "", 5, "close the text"),
    ("open list", 'plugins = ["a"', "", 1, "close the list"),
    (
        "a table twice",
        START + "[tasks.goemotions]\n[tasks.goemotions]",
        "tasks.goemotions",
        6,
        "declared twice",
    ),
    ("a key twice", START + "weight = 1.0\nweight = 2.0", "", 6, "declared twice"),
    (
        "value and table",
        "train = 1\n[train.x]\n",
        "",
        2,
        "declared twice, or once with a value and once as a table",
    ),
    ("backslash", START + 'source = "C:\\data"', "", 5, "not valid TOML"),
    ("deep list", START + "source = " + "[" * 20_000, "", 5, "is nested too deeply"),
    ("deep key", START + ".".join("a" * 20_000) + " = 1", "", 5, "is nested too deeply"),
    ("deep header", START + f"[{'.'.join('a' * 20_000)}]", "", 5, "is nested too deeply"),
    (
        "deep option",
        START + f"[tasks.x.options]\n{'.'.join('a' * 900)} = 1",
        "tasks.x.options.a",
        6,
        "at most 30 levels",
    ),
    (
        "many keys",
        START + "".join(f"k{i} = 1\n" for i in range(21_000)),
        "",
        None,
        "more than 20,000 values",
    ),
    (
        "many dotted keys",
        "".join(f"{'.'.join('a' * 500)}.b{i} = 1\n" for i in range(900)),
        "",
        None,
        "more than 20,000 dots",
    ),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "place", "line", "fragment"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_manifest_is_answered_with_place_line_and_remedy(
    tmp_path: Path, text: str, place: str, line: int | None, fragment: str
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EmomtlError) as caught:
        read_manifest(path)
    messages = {(problem.place, problem.line): str(problem) for problem in caught.value.problems}
    assert (place, line) in messages, messages
    message = messages[place, line]
    assert fragment in message
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < 700
    assert "Input should" not in message


def test_the_wrong_manifests_are_many_and_different() -> None:
    assert len(WRONG) >= 60
    assert len({row[1] for row in WRONG}) == len(WRONG)


SINGLE = [row for row in WRONG if row[0] not in ("model",)]


@pytest.mark.parametrize("text", [row[1] for row in SINGLE], ids=[row[0] for row in SINGLE])
def test_one_mistake_is_one_problem(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text, encoding="utf-8")
    assert len(read_draft(path).problems) == 1, read_draft(path).problems


BYTES = {
    "binary": (b"\x7fELF\0\1\n", "is a binary file", 1),
    "second line binary": (b"a = 1\nb\0", "is a binary file", 2),
    "latin-1": (b'# x\nname = "caf\xe9"\n', "is not UTF-8 text: byte 0xe9", 2),
    "utf-16": ('name = "a"'.encode("utf-16"), "is UTF-16 text", None),
    "large": (b"#" * 1_000_001, "is larger than 1,000,000 bytes", None),
}


@pytest.mark.parametrize(("data", "fragment", "line"), BYTES.values(), ids=list(BYTES))
def test_a_file_that_is_no_text_is_one_problem(
    tmp_path: Path, data: bytes, fragment: str, line: int | None
) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(data)
    draft = read_draft(path)
    assert draft.manifest is None
    assert [problem.line for problem in draft.problems] == [line]
    assert fragment in str(draft.problems[0])


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("", "is a folder"),
        ("absent.toml", "there is no such file"),
        ("a\0b", "null byte"),
        ("n" * 300, "too long"),
    ],
    ids=["folder", "absent", "null", "long"],
)
def test_a_path_without_a_manifest_is_one_problem(tmp_path: Path, name: str, fragment: str) -> None:
    problems = read_draft(tmp_path / name).problems
    assert len(problems) == 1
    assert fragment in str(problems[0])
    assert str(problems[0]).isprintable()
