"""Where rows are: on the hub, in files, or wherever a Python function finds them.

A source is only a declaration: nothing is opened here. `Split` makes the splits that a corpus
lacks.
"""

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
"""What people call the splits: in the names of files, in a split column and on the hub, in any
case.

`eval`, `heldout` and the like are left out on purpose: some mean validation by it and some test.
"""


def split_named(name: str) -> str | None:
    """The split that a name means, spaces and case aside; None if it is none of `SPLIT_NAMES`."""
    name = name.strip().lower()
    for split, names in SPLIT_NAMES.items():
        if name in names:
            return split
    return None


def known_split_names() -> str:
    """`SPLIT_NAMES` as messages list them."""
    return "; ".join(" or ".join(names) for names in SPLIT_NAMES.values())


@dataclass(frozen=True)
class Hub:
    """A data set of the Hugging Face hub: id, configuration, pinned revision.

    `splits` maps our names of splits to theirs where these differ; `columns` maps their column
    names to those that `read` expects.
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
    """CSV, TSV, JSONL or Parquet files, by their ending.

    - `path` is a file, or a folder with one file a split. `*` is any file or folder that a manifest
      names as `source`; a folder must then hold the files of `splits`.
    - `splits` names the file (or glob pattern) of each split under the folder. Without it `train`,
      `validation` or `dev`, and `test` are looked for. A split whose file has another layout is a
      `Files` of its own, with its path under the folder; it takes nothing from the outer one.
    - `columns` gives names to a file without header (`header=False`): a sequence, in which ""
      stands for a column that is left out. Or it renames columns: a mapping, theirs -> ours.
    - `split_column` names the column that tells the split of a single file.
    - `quoting="none"` reads quotes as plain characters, and "csv" takes every quoted cell as it is.
      Left out, quotes are read, and a cell that seems to have swallowed rows is refused.
    - With `sensitive` no error quotes what stands in a file, its header neither. The sources of a
      sensitive task are so by themselves.
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

    def as_sensitive(self) -> Files:
        """The same layout, and those of its splits, with `sensitive`."""
        if self.splits is None:
            return replace(self, sensitive=True)
        splits: dict[str, str | Files] = {}
        for name, part in self.splits.items():
            splits[name] = part.as_sensitive() if isinstance(part, Files) else part
        return replace(self, sensitive=True, splits=splits)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Rows:
    """Rows that Python finds in files which no layout of `Files` describes.

    - `find` is called with the paths of the files of a split, in their order, and yields its rows,
      each a mapping of columns as `read` gets it. It reads these files and nothing else, and gives
      the same rows whenever it is called: a run identifies its rows by the files' bytes and a row's
      number. What it raises is an error about the first file.
    - `files` are names under the folder `path`: a list where the rows have no splits, or a mapping
      from split to list.
    - A `path` of `*` is the folder that a manifest names as `source` (or a file, where `files` is
      one name).
    - With `sensitive` no error quotes a row. The sources of a sensitive task are so by themselves.
    """

    find: Callable[..., Iterable[Mapping[str, Any]]]
    files: Sequence[str] | Mapping[str, Sequence[str]]
    path: str = "*"
    sensitive: bool = False

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The names of the files by split, in the order of `SPLITS`; under `all` without splits."""
        if not isinstance(self.files, Mapping):
            return {"all": tuple(self.files)}
        return {split: tuple(self.files[split]) for split in SPLITS if split in self.files}

    def as_sensitive(self) -> Rows:
        """The same source, with `sensitive`."""
        return replace(self, sensitive=True)

    def __str__(self) -> str:
        names = [name for files in self.parts.values() for name in files]
        return f"{self.path} ({', '.join(names)})"


Source = Hub | Files | Rows


@dataclass(frozen=True)
class Split:
    """Stable splits where a corpus has none.

    A hash of the normalised text decides, so duplicates stay together, and a text falls into the
    same split whatever the order or number of the rows. The fractions say which part of the rows
    without a split (else of train) becomes validation and test. Another `seed` gives another split.
    """

    validation: float = 0.0
    test: float = 0.0
    seed: int = 0

    def of(self, text: str) -> str:
        """The split of a text: `train`, `validation` or `test`."""
        fraction = stable_fraction(text, self.seed)
        if fraction < self.test:
            return "test"
        return "validation" if fraction < self.test + self.validation else "train"


def normalise(text: str) -> str:
    """The form in which two texts count as duplicates: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).lower()


def stable_fraction(text: str, seed: int = 0) -> float:
    """A number in [0, 1) from the normalised text and the seed alone (BLAKE2b, 53 bits)."""
    key = normalise(text).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(key, digest_size=8, salt=seed.to_bytes(8, "little")).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53  # 53 bits, which a float holds exactly
