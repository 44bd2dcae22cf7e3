"""Tokens that are kept between runs: an entry for each corpus split, tokenizer and length, mapped and never trusted blindly.

The key is a hash of the texts themselves, so a corpus that changed finds no old tokens. Texts are never stored, and of a
corpus with a sensitive task nothing is. Whatever goes wrong with the cache costs one note and no run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomtl.data.tokens import CHARACTERS_PER_TOKEN, CHUNK, TRUNCATION, Tokens, tokenise
from emomtl.encoding import HEAD, Truncation
from emomtl.errors import clean

if TYPE_CHECKING:
    from emomtl.data.corpus import CorpusSplit, TaskData

FORMAT = 1
"""The version of an entry's files; it is part of the key, so that another version is never read."""

FEWEST = 2000
"""Texts of the smallest split that is kept: fewer are tokenised in a tenth of a second, which no file is worth."""

STALE = 24 * 3600
"""Seconds after which a folder that a killed builder left is removed."""

DESCRIPTION = "entry.json"
KINDS = {"ids.npy": "<i4", "starts.npy": "<i8", "types.npy": "|i1"}
NAME = re.compile(r"[0-9a-f]{64}")
ASIDE = ".tmp-"


class Damaged(Exception):
    """An entry is not what was written."""


@dataclass(frozen=True)
class Entry:
    """One entry: its folder, what its description says (empty where it cannot be read), its bytes, and when it was last used."""

    folder: Path
    facts: Mapping[str, Any]
    bytes: int
    used: float

    @property
    def key(self) -> str:
        """The name."""
        return self.folder.name


def corpus_tokens(
    data: TaskData, tokenizer: Any, max_tokens: int, note: Callable[[str], None], truncation: Truncation = HEAD
) -> dict[tuple[str, str], Tokens]:
    """The tokens of every corpus by (corpus, split), from the cache where they may be kept; `note` hears what is worth a line."""
    cache = TokenCache(cache_folder(), note)
    found = {}
    for corpus in data.corpora:
        for split, texts in corpus.splits.items():
            if corpus.sensitive or len(texts) < FEWEST:
                tokens = tokenise(tokenizer, texts, max_tokens, truncation)
            else:
                tokens = cache.tokens(tokenizer, texts, max_tokens, {"corpus": corpus.name, "split": split}, truncation)
            found[corpus.name, split] = tokens
            if tokens.cut:
                note(f"{corpus.name}: {tokens.cut:,} {split} text(s) were so long that they were cut before tokenising")
    return found


def cache_folder() -> Path | None:
    """The folder of the token cache, made or not: below EMOMTL_CACHE, else the user's cache folder; None where it is `off`."""
    chosen = os.environ.get("EMOMTL_CACHE", "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen).absolute() / "tokens"
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~")) / ".cache") / "emomtl" / "tokens"


def distrust(folder: Path) -> str | None:
    """Why an existing cache folder is not to be trusted: it, or the one above it, is another's or may be written by others."""
    for path in (folder.parent, folder):
        facts = path.stat()
        if facts.st_uid != os.geteuid():
            return f"{clean(str(path), 400)} belongs to another user"
        if facts.st_mode & 0o022:
            return f"other users may write to {clean(str(path), 400)}"
    return None


def entries(folder: Path) -> list[Entry]:
    """The entries of a cache folder, last used first; what is no entry is passed over."""
    if not folder.is_dir():
        return []
    found = [_entry(path) for path in folder.iterdir() if is_entry(path)]
    return sorted(found, key=lambda entry: (-entry.used, entry.key))


def is_entry(path: Path) -> bool:
    """Whether a path is an entry, whole or damaged: a folder with a key for its name and none but an entry's files in it."""
    if not NAME.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    return all(inner.name in {DESCRIPTION, *KINDS} and not inner.is_dir() for inner in path.iterdir())


def _entry(folder: Path) -> Entry:
    sizes = [path.lstat().st_size for path in folder.iterdir()]
    try:
        facts, used = _described(folder), (folder / DESCRIPTION).stat().st_mtime
    except (Damaged, OSError):
        facts, used = {}, folder.stat().st_mtime
    return Entry(folder, facts, sum(sizes), used)


def remove_entry(folder: Path) -> None:
    """Remove an entry: it is renamed first, so that nobody finds a part of it."""
    aside = _aside(folder)
    folder.rename(aside)
    shutil.rmtree(aside)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{ASIDE}{folder.name[:16]}-{uuid.uuid4().hex}")


def key_of(tokenizer: Any, split: CorpusSplit, max_tokens: int, truncation: Truncation = HEAD) -> str:
    """The key of a split's tokens: a SHA-256 over the texts as they are tokenised, the tokenizer, the length and the format.

    Where more than the head of a text is kept, the whole texts are in it.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, _tokenizer_facts(tokenizer), TRUNCATION]).encode())
    digest.update(f"{max_tokens} {CHARACTERS_PER_TOKEN} {len(split)}".encode())
    most: int | None = max_tokens * CHARACTERS_PER_TOKEN + 1  # one more than is read: it tells whether the text was cut
    if truncation != HEAD:
        digest.update(f"{truncation.keep} {truncation.head_tokens}".encode())
        most = None
    for texts in (split.texts, split.pairs):
        digest.update(b"none" if texts is None else b"some")
        for start in range(0, 0 if texts is None else len(texts), CHUNK):
            assert texts is not None
            raw = [text[:most].encode("utf-8", "surrogatepass") for text in texts[start : start + CHUNK]]
            digest.update(",".join(str(len(text)) for text in raw).encode())
            digest.update(b":" + b"".join(raw))
    return digest.hexdigest()


def _tokenizer_facts(tokenizer: Any) -> list[Any]:
    """All that decides about ids: the serialised tokenizer without its passing state, and what transformers lays over it."""
    import tokenizers

    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    whole.pop("truncation", None)
    whole.pop("padding", None)
    special = [tokenizer.pad_token_id, sorted(tokenizer.all_special_ids), tokenizer.truncation_side, tokenizer.model_input_names]
    return [tokenizers.__version__, type(tokenizer).__name__, bool(tokenizer.split_special_tokens), special, whole]


class TokenCache:
    """The cache as a run uses it; after the first thing that goes wrong with its folder it is not used any more."""

    def __init__(self, folder: Path | None, note: Callable[[str], None]) -> None:
        self.folder, self.note = folder, note
        self.checked = False

    def tokens(
        self, tokenizer: Any, split: CorpusSplit, max_tokens: int, facts: Mapping[str, Any], truncation: Truncation = HEAD
    ) -> Tokens:
        """The tokens of a split: mapped from its entry, which is made where it is lacking; in memory where that cannot be."""
        if not self._usable():
            return tokenise(tokenizer, split, max_tokens, truncation)
        assert self.folder is not None
        folder = self.folder / key_of(tokenizer, split, max_tokens, truncation)
        try:
            found = self._load(folder, len(tokenizer))
        except OSError as error:
            return self._without(error, tokenise(tokenizer, split, max_tokens, truncation))
        if found is not None:
            return found
        made = tokenise(tokenizer, split, max_tokens, truncation)
        if not len(made.ids):
            return made
        name = getattr(tokenizer, "name_or_path", "") or None
        try:
            sweep(self.folder)
            _write(folder, made, {**facts, "tokenizer": name, "max_tokens": max_tokens})
            return self._load(folder, len(tokenizer)) or made
        except OSError as error:
            return self._without(error, made)

    def _usable(self) -> bool:
        """Make the folder and look whose it is, once; whether it can be used."""
        if self.folder is not None and not self.checked:
            self.checked = True
            try:
                self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder.mkdir(mode=0o700, exist_ok=True)
                reason = distrust(self.folder)
            except OSError as error:
                reason = _reason(error)
            if reason is not None:
                self._give_up(reason)
        return self.folder is not None

    def _give_up(self, reason: str) -> None:
        folder, self.folder = clean(str(self.folder), 400), None
        self.note(f"the token cache {folder} is not used: {reason}; set EMOMTL_CACHE to a folder you own")

    def _without(self, error: OSError, made: Tokens) -> Tokens:
        self._give_up(_reason(error))
        return made

    def _load(self, folder: Path, words: int) -> Tokens | None:
        """An entry's tokens; None where there is none, or none any more because it was damaged."""
        if not folder.is_dir():
            return None
        try:
            tokens = read_entry(folder, words)
        except (Damaged, OSError, ValueError) as error:
            if folder.is_dir():
                reason = _reason(error) if isinstance(error, OSError) else clean(str(error), 200)
                self.note(f"the token cache's entry {folder.name[:12]} is damaged ({reason}) and is made again")
                with suppress(FileNotFoundError):
                    remove_entry(folder)
            return None
        with suppress(OSError):
            os.utime(folder / DESCRIPTION)
        return tokens


def _reason(error: OSError) -> str:
    return error.strerror or clean(str(error), 200)


def read_entry(folder: Path, words: int) -> Tokens:
    """The tokens of an entry, mapped; Damaged, OSError or ValueError where sizes, hashes, types or shapes are not as written.

    Every id has to be one of a tokenizer of so many `words`.
    """
    import numpy as np

    facts = _described(folder)
    arrays: dict[str, Any] = {}
    for name, kind in KINDS.items():
        if name not in facts["files"]:
            continue
        path, wanted = folder / name, facts["files"][name]
        if path.stat().st_size != wanted["bytes"]:
            raise Damaged(f"{name} has {path.stat().st_size:,} bytes, {wanted['bytes']:,} were written")
        if _sha256(path) != wanted["sha256"]:
            raise Damaged(f"{name} has changed since it was written")
        try:
            mapped = np.lib.format.open_memmap(path, mode="r")
        except Exception as error:  # numpy has no one error for what is no array
            raise Damaged(f"{name} is no array: {clean(str(error))}") from error
        if mapped.dtype != np.dtype(kind) or mapped.ndim != 1:
            raise Damaged(f"{name} holds {mapped.ndim}-dimensional {mapped.dtype}")
        arrays[name] = np.asarray(mapped)  # still mapped; the plain type is faster to index
    if not {"ids.npy", "starts.npy"} <= set(arrays):
        raise Damaged("files are missing")
    ids, starts, types = arrays["ids.npy"], arrays["starts.npy"], arrays.get("types.npy")
    if (
        not len(starts)
        or len(starts) != facts["texts"] + 1
        or starts[0] != 0
        or starts[-1] != len(ids)
        or np.any(starts[1:] < starts[:-1])
    ):
        raise Damaged("its texts do not follow one another")
    if len(ids) and (ids.min() < 0 or ids.max() >= words or not 0 <= facts["pad"] < words):
        raise Damaged("it has ids that are no words of the tokenizer")
    if types is not None and len(types) != len(ids):
        raise Damaged("segment ids and token ids differ in number")
    return Tokens(ids, starts, types, facts["pad"], facts["cut"])


def _described(folder: Path) -> dict[str, Any]:
    """The description of an entry, held against its own hash."""
    try:
        found = json.loads((folder / DESCRIPTION).read_bytes())
        digest = found.pop("sha256")
        known = all(type(found[key]) is int for key in ("texts", "pad", "cut")) and all(
            type(found["files"][name]["bytes"]) is int and type(found["files"][name]["sha256"]) is str for name in found["files"]
        )
        if known and digest == hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest():
            return dict(found)
    except FileNotFoundError as error:
        raise Damaged(f"{DESCRIPTION} is missing") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged(f"{DESCRIPTION} is not readable") from error
    raise Damaged(f"{DESCRIPTION} has changed since it was written")


def _write(folder: Path, tokens: Tokens, facts: Mapping[str, Any]) -> None:
    """Write an entry aside, down to the disk, and rename it; where another builder was first, its equal entry stays."""
    aside = _aside(folder)
    aside.mkdir(mode=0o700)
    try:
        arrays = {"ids.npy": tokens.ids, "starts.npy": tokens.starts, "types.npy": tokens.types}
        files = {name: _save(aside / name, array) for name, array in arrays.items() if array is not None}
        described: dict[str, Any] = {
            **facts,
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "texts": len(tokens.starts) - 1,
            "tokens": len(tokens.ids),
            "pad": tokens.pad,
            "cut": tokens.cut,
            "files": files,
        }
        described["sha256"] = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        with open(aside / DESCRIPTION, "xb") as handle:
            handle.write(json.dumps(described, indent=2).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        _fsync_folder(aside)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        _fsync_folder(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _save(path: Path, array: Any) -> dict[str, Any]:
    """Write one array down to the disk; its size and hash."""
    import numpy as np

    with open(path, "xb") as handle:
        np.save(handle, array.astype(KINDS[path.name], copy=False), allow_pickle=False)
        handle.flush()
        os.fsync(handle.fileno())
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fsync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what builders left that were killed long ago."""
    for path in folder.glob(f"{ASIDE}*"):
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path, ignore_errors=True)
