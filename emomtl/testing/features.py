"""The check for features."""

from __future__ import annotations

from emomtl.contracts.feature import Feature, Learned, TrainingRows
from emomtl.manifest import FeatureTable, options_of
from emomtl.testing.findings import Findings

KEYS = frozenset(FeatureTable.model_fields)
WORDS = {"joy": "happy glad fun", "anger": "hate rage awful", "neutral": "table seven"}
FILLER = "the a is so today and we"
UNSEEN = (
    "",
    "happy",
    "!?",
    "words that nobody has seen",
    "a " * 400,
    "\u2603 \U0001f600 [NAME] don\u2019t",
    "glad the table",
)
"""Texts that no training row is: empty, long, and of other letters."""


def training_rows() -> TrainingRows:
    """48 rows of the labels `joy`, `anger`, `neutral`, which their words reveal.

    Every sixth row has two labels.
    """
    import numpy as np

    labels, filler = tuple(WORDS), FILLER.split()
    texts, has = [], []
    for i in range(48):
        label = labels[i % 3]
        own = WORDS[label].split()
        words = [filler[i % 7], own[i % len(own)], filler[i % 5], own[0], filler[i % 4]]
        texts.append(" ".join(words))
        row_labels = {label, "anger"} if i % 6 == 0 else {label}
        has.append([name in row_labels for name in labels])
    return TrainingRows(texts, labels, np.array(has))


def check_feature(feature: Feature, rows: TrainingRows | None = None) -> None:
    """Raise one `EmomtlError` with everything that emomtl expects of a feature and that does not
    hold.

    It learns from `rows` (48 made-up ones unless given), twice alike. What it learned must come
    back from a file. It names its columns, each once. It gives finite numbers, one row a text, for
    texts that it has not seen, an empty one among them, and for none. A text's numbers must be the
    same alone, in another order, and after the file.
    """
    import numpy as np

    findings = Findings(f"feature {type(feature).__name__}")
    findings.options(feature)
    taken = [name for name in options_of(feature) if name in KEYS]
    problem = f"has the option {taken}, a key of every `[features.NAME]`"
    findings.expect(not taken, problem, "give it another name")
    if rows is None:
        rows = training_rows()
    with findings.trying("fit"):
        learned = feature.fit(rows)
        data = learned.to_bytes()
        same = feature.fit(rows).to_bytes() == data
        findings.expect(same, "learns something else the second time", "seed what is random")
        names = feature.names(learned)
        unique = len(names) > 0 and len(set(names)) == len(names)
        findings.expect(unique, f"names its columns {names}", "give each column a name of its own")
        texts = [*UNSEEN, *rows.texts[:5]]
        vectors = np.asarray(feature.transform(learned, texts))
        shape = (len(texts), len(names))
        if vectors.shape != shape:
            findings.add(f"gives {vectors.shape} numbers for {len(texts)} texts, not {shape}")
            findings.done()
        finite = bool(np.isfinite(vectors).all())
        problem = "gives numbers that are not finite"
        findings.expect(finite, problem, "look at empty and at long texts")
        of_nothing = np.asarray(feature.transform(learned, []))
        findings.expect(of_nothing.shape == (0, len(names)), "fails for no text at all")
        from_file = feature.transform(Learned.from_bytes(data, "its file"), texts)
        same = np.array_equal(vectors, np.asarray(from_file))
        problem = "gives other numbers after its file was read"
        findings.expect(same, problem, "keep all in `Learned`")
        alone = [np.asarray(feature.transform(learned, [text])) for text in texts]
        backwards = np.asarray(feature.transform(learned, texts[::-1]))[::-1]
        same = np.allclose(np.concatenate(alone), vectors, atol=1e-9)
        same &= np.allclose(backwards, vectors, atol=1e-9)
        problem = "a text's numbers depend on the texts beside it"
        findings.expect(same, problem, "look at each text alone")
    findings.done()
