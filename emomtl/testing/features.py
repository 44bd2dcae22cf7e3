"""The check for features."""

from __future__ import annotations

from emomtl.contracts.feature import Feature, Learned, TrainingRows
from emomtl.manifest import FeatureTable, options_of
from emomtl.testing.findings import Findings

KEYS = frozenset(FeatureTable.model_fields)
WORDS = {"joy": "happy glad fun", "anger": "hate rage awful", "neutral": "table seven"}
FILLER = "the a is so today and we"
UNSEEN = ("", "happy", "!?", "words that nobody has seen", "a " * 400, "\u2603 \U0001f600 [NAME] don\u2019t", "glad the table")
"""Texts that no training row is: empty, long, and of other letters."""


def training_rows() -> TrainingRows:
    """48 rows of three labels (`joy`, `anger`, `neutral`), which their words give away; every sixth row has two."""
    import numpy as np

    labels, filler = tuple(WORDS), FILLER.split()
    texts, has = [], []
    for number in range(48):
        label = labels[number % 3]
        own = WORDS[label].split()
        texts.append(f"{filler[number % 7]} {own[number % len(own)]} {filler[number % 5]} {own[0]} {filler[number % 4]}")
        has.append([label == name or (number % 6 == 0 and name == "anger") for name in labels])
    return TrainingRows(texts, labels, np.array(has))


def check_feature(feature: Feature, rows: TrainingRows | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a feature and that does not hold.

    It learns from `rows` (48 made-up ones unless given), twice alike; what it learned comes back from a file; it names its
    columns, each once; for texts that it has not seen, an empty one among them, and for none it gives finite numbers, one row
    a text; and a text's numbers are the same alone, in another order, and after the file.
    """
    import numpy as np

    findings = Findings(f"feature {type(feature).__name__}")
    findings.options(feature)
    taken = [name for name in options_of(feature) if name in KEYS]
    findings.expect(not taken, f"has the option {taken}, a key of every `[features.NAME]`", "give it another name")
    given = rows if rows is not None else training_rows()
    with findings.trying("fit"):
        learned = feature.fit(given)
        data = learned.to_bytes()
        findings.expect(feature.fit(given).to_bytes() == data, "learns something else the second time", "seed what is random")
        again = Learned.from_bytes(data, "its file")
        names = feature.names(learned)
        findings.expect(
            len(names) > 0 and len(set(names)) == len(names), f"names its columns {names}", "give each column a name of its own"
        )
        texts = [*UNSEEN, *given.texts[:5]]
        found = np.asarray(feature.transform(learned, texts))
        wanted = (len(texts), len(names))
        if not findings.expect(found.shape == wanted, f"gives {found.shape} numbers for {len(texts)} texts, not {wanted}"):
            findings.done()
        findings.expect(bool(np.isfinite(found).all()), "gives numbers that are not finite", "look at empty and at long texts")
        findings.expect(np.asarray(feature.transform(learned, [])).shape == (0, len(names)), "fails for no text at all")
        kept = np.asarray(feature.transform(again, texts))
        findings.expect(np.array_equal(found, kept), "gives other numbers after its file was read", "keep all in `Learned`")
        alone = [np.asarray(feature.transform(learned, [text])) for text in texts]
        turned = np.asarray(feature.transform(learned, texts[::-1]))[::-1]
        same = np.allclose(np.concatenate(alone), found, atol=1e-9) and np.allclose(turned, found, atol=1e-9)
        findings.expect(same, "a text's numbers depend on the texts beside it", "look at each text alone")
    findings.done()
