"""`emomtl lexicon build`, `show` and `baseline`: emotion lexica without an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from emomtl.compose import Plan

ManifestArgument = Annotated[Path, typer.Argument(help="The manifest: a TOML file, or a shipped one's name.", show_default=False)]
Task = Annotated[str | None, typer.Option("--task", help="The task whose training rows are learned from; left out, the first.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be repeated.")]

ENDING = ".safetensors"


def build(
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("--out", help=f"The file to write, which ends in {ENDING}.", show_default=False)],
    task: Task = None,
    method: Annotated[
        Literal["mixture", "pmi"], typer.Option("--method", help="The unigram mixture model, or pointwise mutual information.")
    ] = "mixture",
    min_rows: Annotated[int, typer.Option("--min-rows", min=1, help="Leave out words that fewer training rows have.")] = 5,
    share: Annotated[
        str, typer.Option("--share", metavar="NUMBER", help="lambda of every label, between 0 and 1, or `tuned` for each.")
    ] = "0.9",
    background: Annotated[
        str | None, typer.Option("--background", metavar="LABEL", help="Whose rows are the background; left out, `neutral`.")
    ] = None,
    set_: Overrides = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was learned as JSON, without the words.")] = False,
) -> None:
    """Learn an emotion lexicon from a task's training rows and write it to a file."""
    from emomtl.cli.output import console, make_table, print_json, say
    from emomtl.errors import EmomtlError, Problem
    from emomtl.inference.baseline import read_task
    from emomtl.inference.feature_vectors import training_rows
    from emomtl.lexicon import Lexicon
    from emomtl.safety.files import write_bytes

    if out.suffix != ENDING:
        raise EmomtlError(Problem("--out", f"'{out.name}' does not end in {ENDING}", f"such as lexicon{ENDING}"))
    plan = _plan(manifest, set_)
    name = task or next(iter(plan.tasks))
    data = read_task(plan, name, ["train"])
    for note in data.notes:
        say(f"note: {note}")
    lexicon = Lexicon.learn(training_rows(data, name), method, background, _share(share), min_rows)
    write_bytes(out, lexicon.learned().to_bytes())
    about = lexicon.about
    said = f"{about['tokens']:,} tokens of {about['texts']:,} training rows; background: {about['background']}"
    if "log_likelihood" in about:
        first, last = about["log_likelihood"]["first"], about["log_likelihood"]["last"]
        said += f"; {about['iterations']} iterations, log-likelihood {first:,.0f} to {last:,.0f}"
    if json:
        print_json({"task": name, "file": str(out), "words": len(lexicon.words), "labels": list(lexicon.labels), **about})
    else:
        first_of = lexicon.weights.argmax(axis=1)
        shares = about.get("lambda", {})
        rows = [[label, int((first_of == i).sum()), shares.get(label, "")] for i, label in enumerate(lexicon.labels)]
        title = f"{name}: {len(lexicon.words):,} words by {method}"
        console().print(make_table(title, ["label", "words that are its own first", "lambda"], rows))
    say(said)
    say(f"wrote {out}; next: emomtl lexicon show {out}")


def show(
    file: Annotated[Path, typer.Argument(help="A lexicon that `emomtl lexicon build` wrote.", show_default=False)],
    label: Annotated[list[str] | None, typer.Option("--label", help="Only this label, with figures; may be repeated.")] = None,
    words: Annotated[int, typer.Option("--words", min=1, max=1000, help="Words of each label.")] = 15,
    figure: Annotated[Path | None, typer.Option("--figure", help="Draw them into this file, PNG or SVG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The words that stand for each label, ranked by weight times the logarithm of the label's rows that have them."""
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
        remedy = "`emomtl lexicon baseline` scores such a lexicon"
        raise EmomtlError(Problem(str(file), "made of the texts of a sensitive task: its words are shown nowhere", remedy))
    labels = label or list(lexicon.labels)
    top = {one: lexicon.top(one, words) for one in labels}
    if figure is not None:
        draw_lexicon(lexicon, labels, words, figure)
        say(f"wrote {figure}")
    if json:
        names = ("word", "weight", "rows")
        tops = {one: [dict(zip(names, entry, strict=True)) for entry in found] for one, found in top.items()}
        print_json({"file": str(file), **lexicon.about, "words": len(lexicon.words), "labels": tops})
    elif label:
        for one, found in top.items():
            console().print(make_table(one, ["word", "weight", "rows of the label"], [list(entry) for entry in found]))
    else:
        rows = [[one, " ".join(word for word, _, _ in found)] for one, found in top.items()]
        console().print(make_table(f"{file.name}: {lexicon.about['method']}", ["label", "words, best first"], rows))


def baseline(
    manifest: ManifestArgument,
    task: Task = None,
    features: Annotated[
        list[str] | None, typer.Option("--features", help="`lexicon`, `pmi` or `tfidf`; may be repeated; left out, all three.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="`validation` or `test`.")] = "validation",
    out: Annotated[Path, typer.Option("--out", help="The folder in which each baseline gets a run's folder.")] = Path("runs"),
    set_: Overrides = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Logistic regression without an encoder, scored as runs are and written so that `emomtl report` shows it beside them."""
    from emomtl.cli.output import console, print_json, say, scores_json, scores_table
    from emomtl.errors import EmomtlError, Problem, suggest
    from emomtl.inference.baseline import KINDS, read_task, record, score_baseline

    if split not in ("validation", "test"):
        raise EmomtlError(Problem("--split", f"'{split}' is no split here", suggest(split, ("validation", "test"))))
    kinds = list(dict.fromkeys(features or KINDS))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise EmomtlError(Problem("--features", f"'{unknown[0]}' is not known", suggest(unknown[0], KINDS)))
    plan = _plan(manifest, set_)
    name = task or next(iter(plan.tasks))
    data = read_task(plan, name, ["train", split])
    for note in data.notes:
        say(f"note: {note}")
    found, answers = {}, []
    for kind in kinds:
        scores = score_baseline(plan, data, name, kind, split)
        run, look = record(plan, data, name, kind, split, scores, out / f"{name}-{kind}")
        found[kind] = {name: scores}
        answers.append(scores_json(run.name, split, found[kind]))
        say(f"{kind}: saved in {run.folder}; look number {look} at {split}")
    if json:
        print_json(answers)
    else:
        console().print(scores_table(f"{name}: {split}", found))


def _share(given: str) -> float | Literal["tuned"]:
    """lambda as it was given."""
    from emomtl.errors import EmomtlError, Problem, clean

    if given == "tuned":
        return "tuned"
    try:
        share = float(given)
    except ValueError:
        share = 0.0
    if not 0.0 < share < 1.0:
        raise EmomtlError(Problem("--share", f"'{clean(given)}' is no share", "a number between 0 and 1, or `tuned`"))
    return share


def _plan(manifest: Path, overrides: list[str] | None) -> Plan:
    """The manifest, resolved; notes are said."""
    from emomtl.cli.output import say
    from emomtl.cli.shipped import compose_given
    from emomtl.plugins.discovery import Plugins

    plugins = Plugins.discover()
    plan = compose_given(manifest, overrides or [], plugins)
    for note in plugins.notes:
        say(f"note: {note}")
    return plan
