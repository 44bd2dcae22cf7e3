"""Generator of the demo corpus: templates and slot fillers in, three TSV files out.

Run it as ``python -m emomtl_tasks.demo.make_corpus [OUT]``. The same input files
always give the same bytes: every choice is a hash of a key, so neither the Python
version nor the platform plays a part.

Each label has ``templates/<label>.txt`` with the sections ``[train]``,
``[validation]`` and ``[test]``; ``templates/pairs.txt`` holds the two-label
templates as ``label|label :: text``. No template serves two splits. The slots
(``{person}``, ``{city}``) are filled from ``fillers.txt``. The ``[cue]`` section of
a label holds short remarks that may stand before or after its comments. Fillers
and cues of the sections marked with a plus never appear in the training split.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE_DIR = HERE / "templates"
FILLER_FILE = HERE / "fillers.txt"

SPLITS = ("train", "validation", "test")
HEADER = "text\tlabels"

#: Label -> tone, in the order the labels are written. The tone picks the openers
#: and closers that may be put around a comment.
TONES = {
    "admiration": "warm",
    "amusement": "warm",
    "anger": "cross",
    "annoyance": "cross",
    "approval": "warm",
    "caring": "warm",
    "confusion": "plain",
    "curiosity": "plain",
    "desire": "warm",
    "disappointment": "cross",
    "disapproval": "cross",
    "disgust": "cross",
    "embarrassment": "low",
    "excitement": "warm",
    "fear": "low",
    "gratitude": "warm",
    "grief": "low",
    "joy": "warm",
    "love": "warm",
    "nervousness": "low",
    "optimism": "warm",
    "pride": "warm",
    "realization": "plain",
    "relief": "warm",
    "remorse": "low",
    "sadness": "low",
    "surprise": "plain",
    "neutral": "flat",
}
LABELS = tuple(TONES)

#: Rows per single label and rows of two-label comments, for each split.
ROWS_PER_LABEL = {"train": 86, "validation": 21, "test": 31}
PAIR_ROWS = {"train": 424, "validation": 104, "test": 152}

#: Shares in percent: comments with a cue of their label (one label, two labels),
#: cues put first; of the rest, comments with an opener and with a closer; of all,
#: comments in lower case.
CUE_SHARE = 85
PAIR_CUE_SHARE = 50
CUE_FIRST_SHARE = 35
OPENER_SHARE = 14
CLOSER_SHARE = 18
LOWER_SHARE = 22

#: Draws without a new text after which a template counts as used up.
MAX_REPEATS = 60

_SECTION = re.compile(r"^\[(?P<name>[a-z ]+?)(?P<held> \+)?\]$")
_SLOT = re.compile(r"\{([a-z]+)\}")
_SENTENCE_START = re.compile(r"(?:^|(?<!\.)[.!?] )[a-z]")


@dataclass(frozen=True)
class Template:
    """One sentence pattern with its slots and the labels it expresses."""

    text: str
    labels: tuple[str, ...]


class Picker:
    """A stream of reproducible choices, fixed by its key."""

    def __init__(self, key: str) -> None:
        """Start the stream that belongs to ``key``."""
        self._key = key
        self._count = 0

    def below(self, limit: int) -> int:
        """Return the next number of the stream, from 0 up to ``limit`` - 1."""
        self._count += 1
        digest = hashlib.sha256(f"{self._key}/{self._count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def choice(self, items: Sequence[str]) -> str:
        """Return one of ``items``."""
        return items[self.below(len(items))]

    def chance(self, percent: int) -> bool:
        """Return True in ``percent`` of 100 cases."""
        return self.below(100) < percent


def read_sections(path: Path) -> Iterator[tuple[str, bool, str]]:
    """Yield (section name, held-out mark, line) for every entry of a data file."""
    name, held = "", False
    for raw in path.read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if match := _SECTION.match(line):
            name, held = match["name"], match["held"] is not None
        else:
            yield name, held, line


def load_fillers(split: str) -> dict[str, list[str]]:
    """Return slot -> fillers for ``split``; held-out ones only outside train.

    The cues of a label are the fillers of the slot ``cue <label>``.
    """
    fillers: dict[str, list[str]] = {}
    for name, held, line in read_sections(FILLER_FILE):
        if split != "train" or not held:
            fillers.setdefault(name, []).append(line)
    for label in LABELS:
        for name, held, line in read_sections(TEMPLATE_DIR / f"{label}.txt"):
            if name == "cue" and (split != "train" or not held):
                fillers.setdefault(f"cue {label}", []).append(line)
    return fillers


def load_templates(split: str) -> list[Template]:
    """Return every template of ``split``: one label each first, then the pairs."""
    found = [
        Template(line, (label,))
        for label in LABELS
        for name, _, line in read_sections(TEMPLATE_DIR / f"{label}.txt")
        if name == split
    ]
    for name, _, line in read_sections(TEMPLATE_DIR / "pairs.txt"):
        if name == split:
            pair, text = line.split(" :: ", 1)
            found.append(Template(text, tuple(sorted(pair.split("|"), key=LABELS.index))))
    return found


def fill(template: Template, fillers: dict[str, list[str]], picker: Picker) -> str:
    """Return the text of ``template`` with every slot filled."""
    used: set[str] = set()

    def pick(match: re.Match[str]) -> str:
        choices = [word for word in fillers[match[1]] if word not in used]
        word = picker.choice(choices)
        used.add(word)
        return word

    return _SLOT.sub(pick, template.text)


def pick_cue(text: str, cues: list[str], picker: Picker) -> str:
    """Return one of ``cues``, leaving out those that ``text`` says already."""
    fresh = [cue for cue in cues if cue.lower().rstrip(".!?") not in text.lower()]
    return picker.choice(fresh)


def dress(text: str, labels: Sequence[str], fillers: dict[str, list[str]], picker: Picker) -> str:
    """Return ``text`` as a comment: with a cue, or an opener and closer, and its letter case."""
    tone = TONES[labels[0]]
    share = CUE_SHARE if len(labels) == 1 else PAIR_CUE_SHARE
    if picker.chance(share):
        cue = pick_cue(text, fillers[f"cue {picker.choice(labels)}"], picker)
        text = f"{cue} {text}" if picker.chance(CUE_FIRST_SHARE) else f"{text} {cue}"
    else:
        first = text.split(" ", 1)[0]
        if picker.chance(OPENER_SHARE) and first[-1] not in ",.!?":
            text = f"{picker.choice(fillers[f'opener {tone}'])} {text}"
        if picker.chance(CLOSER_SHARE) and text[-1] in ".!":
            text = f"{text} {picker.choice(fillers[f'closer {tone}'])}"
    if picker.chance(LOWER_SHARE):
        text = text.lower()
        return text[:-1] if text.endswith(".") else text
    return _SENTENCE_START.sub(lambda match: match[0].upper(), text)


def spread(
    templates: Sequence[Template], rows: int, split: str, seen: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield up to ``rows`` (text, labels) rows, taking the templates in turn.

    A filled text is used once: ``seen`` holds those taken so far and grows.
    """
    fillers = load_fillers(split)
    active = [(template, Picker(f"{split}/{template.text}")) for template in templates]
    made = 0
    while active and made < rows:
        for item in list(active):
            template, picker = item
            text = _new_text(template, fillers, picker, seen)
            if text is None:
                active.remove(item)
                continue
            yield dress(text, template.labels, fillers, picker), "|".join(template.labels)
            made += 1
            if made == rows:
                break


def _new_text(
    template: Template, fillers: dict[str, list[str]], picker: Picker, seen: set[str]
) -> str | None:
    """Return a filled text that is not in ``seen``, or None after many repeats."""
    for _ in range(MAX_REPEATS):
        text = fill(template, fillers, picker)
        if text.lower() not in seen:
            seen.add(text.lower())
            return text
    return None


def build_split(split: str) -> list[tuple[str, str]]:
    """Return the (text, labels) rows of ``split`` in file order."""
    templates = load_templates(split)
    seen: set[str] = set()
    rows: list[tuple[str, str]] = []
    for label in LABELS:
        own = [template for template in templates if template.labels == (label,)]
        rows.extend(spread(own, ROWS_PER_LABEL[split], split, seen))
    pairs = [template for template in templates if len(template.labels) > 1]
    rows.extend(spread(pairs, PAIR_ROWS[split], split, seen))
    return sorted(rows, key=lambda row: hashlib.sha256(row[0].encode()).digest())


def render(rows: Sequence[tuple[str, str]]) -> bytes:
    """Return ``rows`` as the bytes of a TSV file with its header line."""
    lines = [HEADER, *(f"{text}\t{labels}" for text, labels in rows)]
    return ("\n".join(lines) + "\n").encode()


def write_corpus(out: Path) -> dict[str, int]:
    """Write the three files into ``out`` and return split -> number of rows."""
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split in SPLITS:
        rows = build_split(split)
        (out / f"{split}.tsv").write_bytes(render(rows))
        counts[split] = len(rows)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Write the corpus to the folder named on the command line, else in place."""
    args = list(sys.argv[1:] if argv is None else argv)
    if len(args) > 1 or any(arg.startswith("-") for arg in args):
        print("usage: python -m emomtl_tasks.demo.make_corpus [OUT]", file=sys.stderr)
        return 2
    out = Path(args[0]) if args else HERE
    for split, count in write_corpus(out).items():
        print(f"{out / split}.tsv: {count} rows")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
