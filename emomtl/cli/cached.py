"""`emomtl cache`: what the token cache holds, and how it is emptied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from emomtl.data.token_cache import Entry

SHOWN = 12
"""Characters of a key that a table shows; as many, or fewer that mean one entry, name it."""


def cache(
    action: Annotated[Literal["list", "clear"], typer.Argument(help="`list` the entries, or `clear` them.", show_default=False)],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Clear only these; the beginning of a key will do.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The tokens that are kept between runs: list the entries of the token cache, or clear all of them or those named."""
    from emomtl.data.token_cache import cache_folder, distrust, entries
    from emomtl.errors import EmomtlError, Problem

    folder = cache_folder()
    if folder is None:
        raise EmomtlError(Problem("EMOMTL_CACHE", "the token cache is off", "unset it, or let it name a folder you own"))
    try:
        if folder.is_dir() and (reason := distrust(folder)):
            raise EmomtlError(Problem("the token cache", reason, "set EMOMTL_CACHE to a folder you own"))
        found = entries(folder)
        if action == "list":
            _list(folder, _named(found, keys or []), json)
        else:
            _clear(folder, _named(found, keys or []), json, everything=not keys)
    except OSError as error:
        raise EmomtlError(Problem(str(folder), error.strerror or str(error), "set EMOMTL_CACHE to a folder you own")) from error


def _named(found: Sequence[Entry], keys: Sequence[str]) -> list[Entry]:
    """The entries that keys, or beginnings of keys, mean; a key that means none or several is refused."""
    from emomtl.errors import EmomtlError, Problem, clean

    chosen, problems = {} if keys else {entry.key: entry for entry in found}, []
    for key in keys:
        meant = [entry for entry in found if key and entry.key.startswith(key)]
        if len(meant) == 1:
            chosen[meant[0].key] = meant[0]
        else:
            said = f"'{clean(key, 80)}' means {len(meant)} entries" if meant else f"'{clean(key, 80)}' is no entry"
            problems.append(Problem("the token cache", said, "`emomtl cache list` shows the keys"))
    if problems:
        raise EmomtlError(*problems)
    return list(chosen.values())


def _facts(entry: Entry) -> dict[str, Any]:
    from datetime import UTC, datetime

    names = ("corpus", "split", "tokenizer", "max_tokens", "texts", "tokens")
    used = datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds")
    state = {} if entry.facts else {"damaged": True}
    return {"key": entry.key, **{name: entry.facts.get(name) for name in names}, "bytes": entry.bytes, "used": used, **state}


def _list(folder: Path, found: Sequence[Entry], json: bool) -> None:
    from emomtl.cli.output import console, make_table, print_json, say

    if json:
        print_json({"folder": str(folder), "entries": [_facts(entry) for entry in found]})
        return
    columns = ["key", "corpus", "split", "tokenizer", "max tokens", "texts", "tokens", "bytes", "last used"]
    rows = []
    for entry in found:
        facts = _facts(entry)
        key, tokenizer = entry.key[:SHOWN], "/".join(Path(facts["tokenizer"] or "").parts[-2:])
        middle = [facts[name] for name in ("max_tokens", "texts", "tokens")]
        corpus = facts["corpus"] if entry.facts else "damaged"
        rows.append([key, corpus, facts["split"] or "", tokenizer, *middle, entry.bytes, facts["used"]])
    console().print(make_table(f"token cache {folder}", columns, rows))
    say(f"{len(found)} entries, {sum(entry.bytes for entry in found) / 1e6:,.1f} MB")


def _clear(folder: Path, found: Sequence[Entry], json: bool, everything: bool) -> None:
    from emomtl.cli.output import print_json, say
    from emomtl.data.token_cache import remove_entry, sweep

    for entry in found:
        remove_entry(entry.folder)
    freed = sum(entry.bytes for entry in found)
    left = 0
    if everything and folder.is_dir():
        sweep(folder)
        left = len(list(folder.iterdir()))
    if json:
        print_json({"folder": str(folder), "cleared": [entry.key for entry in found], "bytes": freed, "left_alone": left})
        return
    say(f"cleared {len(found)} entries of {folder}: {freed / 1e6:,.1f} MB freed")
    if left:
        say(f"left alone: {left} that are no entries")
