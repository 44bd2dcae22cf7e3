"""Texts that nearly repeat each other: MinHash over character 4-grams, bands sorted, every
candidate verified.

A text is reduced to its words and digits (NFKC, lower case, single spaces) and to the set of 4-byte
pieces of that. Two texts of at least LEAST such bytes are near duplicates where the Jaccard
similarity of their sets is at least THRESHOLD. MinHash (Broder, 1997, "On the resemblance and
containment of documents") gives a text BANDS x ROWS minima; two texts with similarity s share a
whole band with probability 1 - (1 - s^ROWS)^BANDS: 0.97 at 0.8, 0.9999 at 0.9, 0.00003 at 0.15.

Texts that share a band are sorted beside each other, and each is compared with the NEIGHBOURS that
follow it, so time and memory grow with the number of texts and not with its square. The order
inside a band is drawn anew for each band, so in a crowd of more than NEIGHBOURS near repeats every
text still meets many. Every candidate's exact similarity is computed: no pair that is returned is
false.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emomtl.contracts.sources import normalise
from emomtl.seeds import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD = 0.8
LEAST = 16
"""Characters (bytes) of words and digits that a text must have: shorter ones, such as thanks,
repeat by chance.
"""

PIECE = 4
BANDS, ROWS = 15, 7
NEIGHBOURS = 8
CHUNK = 1 << 18
"""Pieces that are hashed at a time: few enough to stay in the processor's cache."""

VERIFIED = 1 << 21
"""Pieces that are compared at a time."""

KEPT = set((string.ascii_lowercase + string.digits).encode())
SQUEEZE = bytes(byte if byte in KEPT or byte >= 128 else ord(" ") for byte in range(256))


@dataclass(frozen=True)
class Pieces:
    """n texts as bytes, one after another: text i at `bytes[starts[i]:starts[i + 1]]`."""

    bytes: NDArray[np.uint8]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Pieces:
        """The words and digits of texts, with single spaces between them, as bytes; letters beyond
        ASCII count as such.
        """
        squeezed = [
            b" ".join(normalise(text).encode("utf-8", "replace").translate(SQUEEZE).split())
            for text in texts
        ]
        starts = np.zeros(len(squeezed) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, squeezed), np.int64, len(squeezed)), out=starts[1:])
        return cls(np.frombuffer(b"".join(squeezed), np.uint8), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def long(self) -> NDArray[np.int64]:
        """The texts that are long enough to be compared."""
        return np.flatnonzero(np.diff(self.starts) >= LEAST)

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many pieces these texts have, repeated ones counted; for long enough texts."""
        return self.starts[rows + 1] - self.starts[rows] - (PIECE - 1)

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The pieces of these texts, one text after another, and how many each has; a piece is its
        four bytes as a number.
        """
        counts = self.counts(rows)
        ends = np.cumsum(counts)
        places = np.arange(int(ends[-1])) + np.repeat(self.starts[rows] - (ends - counts), counts)
        found = self.bytes[places].astype(np.uint32)
        for offset in range(1, PIECE):
            found |= self.bytes[places + offset].astype(np.uint32) << np.uint32(8 * offset)
        return found, counts


def near_duplicates(
    texts: Iterable[str], threshold: float = THRESHOLD
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of near duplicates (m, 2), lower position first, and their similarity (m,); give each
    text once.

    Deterministic. Pairs that share no band, or that a crowd keeps apart, are missed: see the module
    for how many.
    """
    pieces = Pieces.of(texts)
    rows = pieces.long()
    bands = _bands(pieces, rows)
    pairs = np.zeros(0, np.uint64)
    similar = np.zeros(0, np.float64)
    for number, band in enumerate(bands):
        new = np.setdiff1d(_candidates(band, rows, number), pairs, assume_unique=True)
        value = _similarity(pieces, new)
        keep = value >= threshold
        pairs, similar = np.concatenate([pairs, new[keep]]), np.concatenate([similar, value[keep]])
    order = np.argsort(pairs)
    return _split(pairs[order]), similar[order]


def _bands(pieces: Pieces, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """For each band a number of each of these texts (BANDS, n), equal where all minima of the band
    are.
    """
    draw = generator("near duplicates")
    flips = draw.integers(2**32, size=BANDS * ROWS, dtype=np.uint32)
    factors = draw.integers(2**32, size=BANDS * ROWS, dtype=np.uint32) | np.uint32(1)
    bands = np.empty((BANDS, len(rows)), np.uint64)
    for part in _chunks(pieces.counts(rows), CHUNK):
        found, counts = pieces.take(rows[part])
        mixed = _mix(found)
        begins = np.cumsum(counts) - counts
        scratch = np.empty_like(mixed)
        for band in range(BANDS):
            joined = np.full(len(part), band + 1, np.uint64)
            for k in range(band * ROWS, (band + 1) * ROWS):
                np.bitwise_xor(mixed, flips[k], out=scratch)
                np.multiply(scratch, factors[k], out=scratch)
                joined = (joined ^ np.minimum.reduceat(scratch, begins)) * np.uint64(
                    0x9E3779B97F4A7C15
                )
                joined ^= joined >> np.uint64(29)
            bands[band, part[0] : part[-1] + 1] = joined
    return bands


def _mix(found: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Well-spread 32-bit hashes of the pieces (the finaliser of MurmurHash3, a bijection)."""
    mixed = found ^ (found >> np.uint32(16))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def _chunks(sizes: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Positions 0..n-1 in runs whose sizes sum to about `most`; one that is larger stands alone."""
    places = np.cumsum(sizes) // most
    edges = np.flatnonzero(np.diff(places)) + 1
    for part in np.split(np.arange(len(sizes)), edges):
        if len(part):
            yield part


def _candidates(
    band: NDArray[np.uint64], rows: NDArray[np.int64], number: int
) -> NDArray[np.uint64]:
    """Pairs of texts that stand near each other in one band's order, each as one number (lower *
    2^32 + higher), sorted.
    """
    order = generator("near duplicates", number).permutation(len(band))
    order = order[np.argsort(band[order], kind="stable")]
    ranked = band[order]
    found = [np.zeros(0, np.uint64)]
    for offset in range(1, NEIGHBOURS + 1):
        same = (
            np.flatnonzero(ranked[offset:] == ranked[:-offset])
            if offset < len(ranked)
            else np.zeros(0, np.int64)
        )
        if not len(same):
            break
        one, other = rows[order[same]], rows[order[same + offset]]
        low, high = (
            np.minimum(one, other).astype(np.uint64),
            np.maximum(one, other).astype(np.uint64),
        )
        found.append((low << np.uint64(32)) | high)
    return np.unique(np.concatenate(found))


def _split(pairs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs from their numbers (m, 2)."""
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(2**32 - 1)], axis=1).astype(np.int64)


def _similarity(pieces: Pieces, pairs: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The exact Jaccard similarity of each pair's sets of pieces (m,)."""
    both = _split(pairs)
    found = np.zeros(len(both))
    if not len(both):
        return found
    for rows in _chunks(pieces.counts(both[:, 0]) + pieces.counts(both[:, 1]), VERIFIED):
        one, other = (_sets(pieces, both[rows, side]) for side in (0, 1))
        together = np.sort(np.concatenate([one, other]))
        shared = _per_pair(together[1:][together[1:] == together[:-1]], len(rows))
        found[rows] = shared / (_per_pair(one, len(rows)) + _per_pair(other, len(rows)) - shared)
    return found


def _sets(pieces: Pieces, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The pieces of each text once, as numbers: position of the text * 2^32 + piece."""
    found, counts = pieces.take(rows)
    return np.unique(
        (np.repeat(np.arange(len(rows), dtype=np.uint64), counts) << np.uint64(32)) | found
    )


def _per_pair(numbers: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    return np.bincount((numbers >> np.uint64(32)).astype(np.int64), minlength=n)
