"""Where rows are (`Hub`, `Files`, or `Rows` that Python finds), and `Split`, which makes missing splits; nothing is opened."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

SPLITS = ("train", "validation", "test")

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "devel", "development"),
    "test": ("test", "testing"),
}
"""What people call the splits: in the names of files, in a split column and on the hub, in any case.

`eval`, `heldout` and the like are left out on purpose: some mean validation by it and some test.
"""


def split_named(name: str) -> str | None:
    """The split that a name means, spaces and case aside; None where it is none of `SPLIT_NAMES`."""
    wanted = name.strip().lower()
    return next((split for split, names in SPLIT_NAMES.items() if wanted in names), None)


def known_split_names() -> str:
    """`SPLIT_NAMES` as messages say them."""
    return "; ".join(" or ".join(names) for names in SPLIT_NAMES.values())


@dataclass(frozen=True)
class Hub:
    """A data set of the Hugging Face hub: id, configuration, pinned revision.

    `splits` maps ours to theirs where the names differ; `columns` maps their column names to those that `read` expects.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    splits: Mapping[str, str] | None = None
    columns: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"hub:{self.id}" + (f"/{self.config}" if self.config else "")


@dataclass(frozen=True)
class Files:
    """CSV, TSV, JSONL or Parquet files, by their ending; `path` is a file, or a folder with one file a split.

    A `path` of `*` is any file or folder that a manifest names as `source`; a folder must hold the files of `splits`.
    `splits` names the file (or glob pattern) of each split under the folder; without it `train`, `validation` or `dev`,
    and `test` are looked for. A split whose file is laid out in another way is a `Files` of its own, with its path under
    the folder; it takes nothing from the one around it. `columns` gives names to a file without header (`header=False`,
    a sequence, in which "" stands for a column that is left out) or renames (a mapping, theirs -> ours). `split_column`
    names the column that tells the split of a single file. `quoting="none"` reads quotes as plain characters, "csv" takes
    every quoted cell as it is; left out, quotes are read, and a cell that looks as if it had swallowed rows is refused.
    With `sensitive` no error quotes what stands in a file, its header neither; a sensitive task's layouts are so by
    themselves.
    """

    path: str
    splits: Mapping[str, str | Files] | None = None
    columns: Sequence[str] | Mapping[str, str] | None = None
    header: bool = True
    delimiter: str | None = None
    encoding: str = "utf-8"
    split_column: str | None = None
    quoting: Literal["csv", "none"] | None = None
    sensitive: bool = False

    def hushed(self) -> Files:
        """The same layout, and those of its splits, as `sensitive`."""
        parts = {name: part.hushed() if isinstance(part, Files) else part for name, part in (self.splits or {}).items()}
        return replace(self, sensitive=True, splits=parts if self.splits is not None else None)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Rows:
    """Rows that Python finds in files which no layout of `Files` describes, such as texts and labels in parallel files.

    `find` is called with the paths of the files of a split, in their order, and yields its rows, each a mapping of columns:
    what `read` then gets. It reads these files and nothing else, and gives the same rows whenever it is called: the files'
    bytes are what tells a run's rows apart from others, and a row is known by its number. `files` are names under the
    folder `path`: a list where the rows have no splits, or a mapping from split to list. A `path` of `*` is the folder that
    a manifest names as `source` (or, where `files` is one name, a file). What `find` raises is an error about the first
    file; with `sensitive`, which a sensitive task's sources are by themselves, nothing is quoted.
    """

    find: Callable[..., Iterable[Mapping[str, Any]]]
    files: Sequence[str] | Mapping[str, Sequence[str]]
    path: str = "*"
    sensitive: bool = False

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The names of the files by split, in the order of `SPLITS`; under `all` where there are no splits."""
        if not isinstance(self.files, Mapping):
            return {"all": tuple(self.files)}
        return {split: tuple(self.files[split]) for split in SPLITS if split in self.files}

    def hushed(self) -> Rows:
        """The same source as `sensitive`."""
        return replace(self, sensitive=True)

    def __str__(self) -> str:
        return f"{self.path} ({', '.join(name for names in self.parts.values() for name in names)})"


Source = Hub | Files | Rows


@dataclass(frozen=True)
class Split:
    """Stable splits where a corpus has none: a hash of the normalised text decides, so duplicates stay together.

    The fractions say which part of the rows without a split (else of train) becomes validation and test. `seed`
    gives another split; the same text always falls into the same one, whatever the order or number of the rows.
    """

    validation: float = 0.0
    test: float = 0.0
    seed: int = 0

    def of(self, text: str) -> str:
        """The split of a text: `train`, `validation` or `test`."""
        place = stable_fraction(text, self.seed)
        if place < self.test:
            return "test"
        return "validation" if place < self.test + self.validation else "train"


def normalise(text: str) -> str:
    """The form in which two texts count as duplicates: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).lower()


def stable_fraction(text: str, seed: int = 0) -> float:
    """A number in [0, 1) that depends on the normalised text and the seed alone (BLAKE2b, 53 bits)."""
    key = normalise(text).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(key, digest_size=8, salt=seed.to_bytes(8, "little")).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53
