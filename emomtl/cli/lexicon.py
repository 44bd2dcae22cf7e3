"""`emomtl lexicon build`, `show` and `baseline`: emotion lexica without an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from emomtl.cli.options import Json, ManifestArgument, Overrides

if TYPE_CHECKING:
    from emomtl.compose import Plan
    from emomtl.lexicon import Lexicon

Task = Annotated[
    str | None,
    Option("--task", help="The task whose training rows are learned from; left out, the first."),
]

ENDING = ".safetensors"


def build(
    manifest: ManifestArgument,
    out: Annotated[Path, Option(help=f"The file to write, which ends in {ENDING}.")],
    task: Task = None,
    method: Annotated[
        Literal["mixture", "pmi"],
        Option(help="The unigram mixture model, or pointwise mutual information."),
    ] = "mixture",
    min_rows: Annotated[
        int, Option(min=1, help="Leave out words that fewer training rows have.")
    ] = 5,
    share: Annotated[
        str,
        Option(
            metavar="NUMBER", help="lambda of every label, between 0 and 1, or `tuned` for each."
        ),
    ] = "0.9",
    background: Annotated[
        str | None,
        Option(metavar="LABEL", help="Whose rows are the background; left out, `neutral`."),
    ] = None,
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Learn an emotion lexicon from a task's training rows and write it to a file."""
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.errors import EmomtlError, Problem
    from emomtl.inference.baseline import read_task
    from emomtl.inference.feature_vectors import training_rows
    from emomtl.lexicon import Lexicon
    from emomtl.safety.files import write_bytes

    if out.suffix != ENDING:
        found = f"'{out.name}' does not end in {ENDING}"
        raise EmomtlError(Problem("--out", found, f"such as lexicon{ENDING}"))
    plan = _plan(manifest, set_)
    name = task or next(iter(plan.tasks))
    data = read_task(plan, name, ["train"])
    for note in data.notes:
        say(f"note: {note}")
    rows = training_rows(data, name)
    lexicon = Lexicon.learn(rows, method, background, _share(share), min_rows)
    write_bytes(out, lexicon.learned().to_bytes())
    about = lexicon.about
    if json:
        words, labels = len(lexicon.words), list(lexicon.labels)
        print_json({"task": name, "file": str(out), "words": words, "labels": labels, **about})
    else:
        title = f"{name}: {len(lexicon.words):,} words by {method}"
        columns = ["label", "words that are its own first", "lambda"]
        console().print(make_table(title, columns, _label_rows(lexicon)))
    training = f"{about['tokens']:,} tokens of {about['texts']:,} training rows"
    summary = f"{training}; background: {about['background']}"
    if "log_likelihood" in about:
        first, last = about["log_likelihood"]["first"], about["log_likelihood"]["last"]
        likelihood = f"log-likelihood {first:,.0f} to {last:,.0f}"
        summary += f"; {about['iterations']} iterations, {likelihood}"
    say(summary)
    say(f"wrote {out}; next: emomtl lexicon show {out}")


def _label_rows(lexicon: Lexicon) -> list[list[object]]:
    """For each label: the words whose largest weight is that of the label, and lambda."""
    strongest = lexicon.weights.argmax(axis=1)
    shares = lexicon.about.get("lambda", {})
    rows: list[list[object]] = []
    for column, label in enumerate(lexicon.labels):
        rows.append([label, int((strongest == column).sum()), shares.get(label, "")])
    return rows


def show(
    file: Annotated[Path, Argument(help="A lexicon that `emomtl lexicon build` wrote.")],
    label: Annotated[
        list[str] | None, Option(help="Only this label, with its numbers; may be repeated.")
    ] = None,
    words: Annotated[int, Option(min=1, max=1000, help="Words of each label.")] = 15,
    figure: Annotated[Path | None, Option(help="Draw them into this file, PNG or SVG.")] = None,
    json: Json = False,
) -> None:
    """The words that stand for each label.

    They are ranked by weight times the logarithm of the label's rows that have them.
    """
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.contracts.feature import Learned
    from emomtl.errors import EmomtlError, Problem
    from emomtl.lexicon import Lexicon
    from emomtl.report.lexicon import draw_lexicon
    from emomtl.safety.files import storage

    with storage(file, "read"):
        data = file.read_bytes()
    lexicon = Lexicon.of(Learned.from_bytes(data, str(file)), str(file))
    if lexicon.about.get("sensitive"):
        found = "made of the texts of a sensitive task: its words are shown nowhere"
        remedy = "`emomtl lexicon baseline` scores such a lexicon"
        raise EmomtlError(Problem(str(file), found, remedy))
    labels = label or list(lexicon.labels)
    top_words = {name: lexicon.top(name, words) for name in labels}
    if figure is not None:
        draw_lexicon(lexicon, labels, words, figure)
        say(f"wrote {figure}")
    if json:
        keys = ("word", "weight", "rows")
        as_json = {}
        for name, entries in top_words.items():
            as_json[name] = [dict(zip(keys, entry, strict=True)) for entry in entries]
        about = {**lexicon.about, "words": len(lexicon.words)}
        print_json({"file": str(file), **about, "labels": as_json})
    elif label:
        columns = ["word", "weight", "rows of the label"]
        for name, entries in top_words.items():
            console().print(make_table(name, columns, [list(entry) for entry in entries]))
    else:
        rows = []
        for name, entries in top_words.items():
            rows.append([name, " ".join(word for word, _, _ in entries)])
        title = f"{file.name}: {lexicon.about['method']}"
        console().print(make_table(title, ["label", "words, best first"], rows))


def baseline(
    manifest: ManifestArgument,
    task: Task = None,
    features: Annotated[
        list[str] | None,
        Option(help="`lexicon`, `pmi` or `tfidf`; may be repeated; left out, all three."),
    ] = None,
    split: Annotated[
        Literal["validation", "test"], Option(help="The split that is scored.")
    ] = "validation",
    out: Annotated[
        Path, Option(help="The folder in which each baseline gets a run's folder.")
    ] = Path("runs"),
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Logistic regression without an encoder, scored and written as a run.

    `emomtl report` shows it beside other runs.
    """
    from emomtl.cli.output import console, print_json, say, scores_json, scores_table
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.inference.baseline import KINDS, read_task, record, score_baseline

    kinds = list(dict.fromkeys(features or KINDS))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        found = f"'{unknown[0]}' is not known"
        raise EmomtlError(Problem("--features", found, suggest(unknown[0], KINDS)))
    plan = _plan(manifest, set_)
    name = task or next(iter(plan.tasks))
    data = read_task(plan, name, ["train", split])
    for note in data.notes:
        say(f"note: {note}")
    scores_by_kind, as_json = {}, []
    for kind in kinds:
        scores = score_baseline(plan, data, name, kind, split)
        run, look = record(plan, data, name, kind, split, scores, out / f"{name}-{kind}")
        scores_by_kind[kind] = {name: scores}
        as_json.append(scores_json(run.name, split, {name: scores}))
        say(f"{kind}: saved in {run.folder}; look number {look} at {split}")
    if json:
        print_json(as_json)
    else:
        console().print(scores_table(f"{name}: {split}", scores_by_kind))


def _share(text: str) -> float | Literal["tuned"]:
    """lambda of the mixture model, read from `--share`."""
    from emomtl.errors import EmomtlError, Problem, clean

    if text == "tuned":
        return "tuned"
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.0 < share < 1.0:
        found = f"'{clean(text)}' is no share"
        raise EmomtlError(Problem("--share", found, "a number between 0 and 1, or `tuned`"))
    return share


def _plan(manifest: Path, overrides: list[str] | None) -> Plan:
    """Resolve the manifest and print the notes on plugins."""
    from emomtl.cli.output import say
    from emomtl.cli.shipped import compose_given
    from emomtl.plugins.discovery import Plugins

    plugins = Plugins.discover()
    plan = compose_given(manifest, overrides or [], plugins)
    for note in plugins.notes:
        say(f"note: {note}")
    return plan
