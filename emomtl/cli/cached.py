"""`emomtl cache`: what the caches of tokens and rows hold, and how they are emptied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from emomtl.data.cache.store import Entry

Stored = tuple[str, "Entry"]
"""The store that an entry is of, and the entry."""

SHOWN = 12
"""Characters of a key that a table shows; as many, or fewer that mean one entry, name it."""


def cache(
    action: Annotated[Literal["list", "clear"], typer.Argument(help="`list` the entries, or `clear` them.", show_default=False)],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Clear only these; the beginning of a key will do.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tokens and rows that are kept between runs: list the entries of the cache, or clear all of them or those named."""
    from emomtl.data.cache.rows import ROWS
    from emomtl.data.cache.store import cache_folder, distrust, entries
    from emomtl.data.cache.tokens import TOKENS
    from emomtl.errors import EmomtlError, Problem

    folders = {store: folder for store in (TOKENS, ROWS) if (folder := cache_folder(store)) is not None}
    if not folders:
        raise EmomtlError(Problem("EMOMTL_CACHE", "the cache is off", "unset it, or let it name a folder you own"))
    try:
        for folder in folders.values():
            if folder.is_dir() and (reason := distrust(folder)):
                raise EmomtlError(Problem("the cache", reason, "set EMOMTL_CACHE to a folder you own"))
        found = [(store, entry) for store, folder in folders.items() for entry in entries(folder)]
        if action == "list":
            _list(folders[TOKENS].parent, _named(found, keys or []), json)
        else:
            _clear(list(folders.values()), _named(found, keys or []), json, everything=not keys)
    except OSError as error:
        place = str(folders[TOKENS].parent)
        raise EmomtlError(Problem(place, error.strerror or str(error), "set EMOMTL_CACHE to a folder you own")) from error


def _named(found: Sequence[Stored], keys: Sequence[str]) -> list[Stored]:
    """The entries that keys, or beginnings of keys, mean; a key that means none or several is refused."""
    from emomtl.errors import EmomtlError, Problem, clean

    chosen, problems = {} if keys else {entry.key: (store, entry) for store, entry in found}, []
    for key in keys:
        meant = [(store, entry) for store, entry in found if key and entry.key.startswith(key)]
        if len(meant) == 1:
            chosen[meant[0][1].key] = meant[0]
        else:
            said = f"'{clean(key, 80)}' means {len(meant)} entries" if meant else f"'{clean(key, 80)}' is no entry"
            problems.append(Problem("the cache", said, "`emomtl cache list` shows the keys"))
    if problems:
        raise EmomtlError(*problems)
    return list(chosen.values())


def _facts(store: str, entry: Entry) -> dict[str, Any]:
    from datetime import UTC, datetime

    names = ("corpus", "split", "tokenizer", "max_tokens", "texts", "tokens")
    used = datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds")
    known = {name: entry.facts.get(name) for name in names}
    return {
        "key": entry.key,
        "holds": store,
        **known,
        "bytes": entry.bytes,
        "used": used,
        **({} if entry.facts else {"damaged": True}),
    }


def _list(folder: Path, found: Sequence[Stored], json: bool) -> None:
    from emomtl.cli.output import console, make_table, print_json, say

    facts = [_facts(store, entry) for store, entry in found]
    if json:
        print_json({"folder": str(folder), "entries": facts})
        return
    columns = ["key", "holds", "corpus", "split", "tokenizer", "max tokens", "texts", "tokens", "bytes", "last used"]
    rows = []
    for one in facts:
        tokenizer = "/".join(Path(one["tokenizer"] or "").parts[-2:])
        corpus = "damaged" if "damaged" in one else one["corpus"]
        numbers = ["" if one[name] is None else one[name] for name in ("max_tokens", "texts", "tokens")]
        rows.append(
            [one["key"][:SHOWN], one["holds"], corpus, one["split"] or "", tokenizer, *numbers, one["bytes"], one["used"]]
        )
    console().print(make_table(f"cache {folder}", columns, rows))
    say(f"{len(found)} entries, {sum(one['bytes'] for one in facts) / 1e6:,.1f} MB")


def _clear(folders: Sequence[Path], found: Sequence[Stored], json: bool, everything: bool) -> None:
    from emomtl.cli.output import print_json, say
    from emomtl.data.cache.store import remove_entry, sweep

    for _, entry in found:
        remove_entry(entry.folder)
    freed = sum(entry.bytes for _, entry in found)
    left = 0
    for folder in folders:
        if everything and folder.is_dir():
            sweep(folder)
            left += len(list(folder.iterdir()))
    if json:
        cleared = [entry.key for _, entry in found]
        print_json({"folder": str(folders[0].parent), "cleared": cleared, "bytes": freed, "left_alone": left})
        return
    say(f"cleared {len(found)} entries of {folders[0].parent}: {freed / 1e6:,.1f} MB freed")
    if left:
        say(f"left alone: {left} that are no entries")
