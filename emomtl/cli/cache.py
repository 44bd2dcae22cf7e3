"""`emomtl cache`: the entries of the cache, listed or removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emomtl.cli.options import Json

if TYPE_CHECKING:
    from emomtl.data.cache.store import Entry

SHOWN = 12
"""Characters of a key that a table shows."""

FACTS = ("holds", "corpus", "split", "tokenizer", "max_tokens", "texts", "tokens")
"""What is shown of an entry's description."""


def cache(
    action: Annotated[
        Literal["list", "clear"], typer.Argument(help="`list` the entries, or `clear` them.")
    ],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Only these; the beginning of a key will do.")
    ] = None,
    json: Json = False,
) -> None:
    """Rows and tokens that are kept between runs: list the entries, or clear them."""
    from emomtl.data.cache.store import cache_folder, entries, reason_to_distrust
    from emomtl.errors import EmomtlError, Problem

    remedy = "set EMOMTL_CACHE to a folder you own"
    folder = cache_folder()
    if folder is None:
        raise EmomtlError(Problem("EMOMTL_CACHE", "the cache is off", f"unset it, or {remedy}"))
    try:
        if folder.is_dir() and (reason := reason_to_distrust(folder)):
            raise EmomtlError(Problem("the cache", reason, remedy))
        chosen = _chosen(entries(folder), keys or [])
        if action == "list":
            _list(folder, chosen, json)
        else:
            _clear(folder, chosen, json, everything=not keys)
    except OSError as error:
        raise EmomtlError(Problem(str(folder), error.strerror or str(error), remedy)) from error


def _chosen(entries: Sequence[Entry], keys: Sequence[str]) -> list[Entry]:
    """The entries that keys, or beginnings of keys, mean; all without keys.

    EmomtlError for a key that means none or several.
    """
    from emomtl.errors import EmomtlError, Problem, clean

    if not keys:
        return list(entries)
    chosen, problems = {}, []
    for key in keys:
        meant = [entry for entry in entries if key and entry.key.startswith(key)]
        if len(meant) == 1:
            chosen[meant[0].key] = meant[0]
            continue
        what = f"means {len(meant)} entries" if meant else "is no entry"
        found = f"'{clean(key, 80)}' {what}"
        problems.append(Problem("the cache", found, "`emomtl cache list` shows the keys"))
    if problems:
        raise EmomtlError(*problems)
    return list(chosen.values())


def _facts(entry: Entry) -> dict[str, Any]:
    from datetime import UTC, datetime

    facts = {"key": entry.key, **{name: entry.facts.get(name) for name in FACTS}}
    facts["bytes"] = entry.bytes
    facts["used"] = datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds")
    if not entry.facts:
        facts["damaged"] = True
    return facts


def _list(folder: Path, entries: Sequence[Entry], json: bool) -> None:
    from emomtl.cli.output import console, make_table, print_json, say

    described = [_facts(entry) for entry in entries]
    if json:
        print_json({"folder": str(folder), "entries": described})
        return
    rows = []
    for facts in described:
        facts["key"] = facts["key"][:SHOWN]
        facts["tokenizer"] = "/".join(Path(facts["tokenizer"] or "").parts[-2:])
        if facts.pop("damaged", False):
            facts["corpus"] = "damaged"
        rows.append(["" if value is None else value for value in facts.values()])
    columns = [name.replace("_", " ") for name in ("key", *FACTS, "bytes", "last used")]
    console().print(make_table(f"cache {folder}", columns, rows))
    size = sum(entry.bytes for entry in entries)
    say(f"{len(entries)} entries, {size / 1e6:,.1f} MB")


def _clear(folder: Path, entries: Sequence[Entry], json: bool, everything: bool) -> None:
    from emomtl.cli.output import print_json, say
    from emomtl.data.cache.store import remove_entry, remove_stale

    for entry in entries:
        remove_entry(entry.folder)
    freed = sum(entry.bytes for entry in entries)
    left_alone = 0
    if everything and folder.is_dir():
        remove_stale(folder)
        left_alone = len(list(folder.iterdir()))
    if json:
        cleared = [entry.key for entry in entries]
        facts = {"folder": str(folder), "cleared": cleared, "bytes": freed}
        print_json({**facts, "left_alone": left_alone})
        return
    say(f"cleared {len(entries)} entries of {folder}: {freed / 1e6:,.1f} MB freed")
    if left_alone:
        say(f"left alone: {left_alone} that are no entries")
