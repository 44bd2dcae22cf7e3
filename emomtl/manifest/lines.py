"""In which line of a TOML file a key stands; the parser does not say, so the text is scanned once more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# A repeated group stands in (?>...) and not before `*+`, which Python 3.11.0 to 3.11.4 match wrongly (gh-100061, gh-106052).
SKIP = re.compile(r"(?>(?:[ \t\r\n]++|#[^\n]*+)*)")
KEY = re.compile(r"""[ \t]*+(?:"((?>(?:[^"\\\n]++|\\.)*))"|'([^'\n]*+)'|([^\s.=,#"'\[\]{}]++))[ \t]*+""")
TEXT = re.compile(
    r'"""(?>(?:[^"\\]++|\\[\s\S]|"(?!""))*)"""(?:"{0,2})'
    r"|'''(?>(?:[^']++|'(?!''))*)'''(?:'{0,2})"
    r'|"(?>(?:[^"\\\n]++|\\.)*)"'
    r"|'[^'\n]*+'"
)
SCALAR = re.compile(r"[^,\]}#\n]++")
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class _Node:
    """A place in the document: its line, the places in it, and how many items it has where it is a list."""

    __slots__ = ("children", "count", "line", "tables")

    def __init__(self) -> None:
        self.line: int | None = None
        self.children: dict[str | int, _Node] = {}
        self.count = 0
        self.tables = False

    def at(self, part: str | int, line: int) -> _Node:
        """The node of a part; a new one stands in this line."""
        node = self.children.get(part)
        if node is None:
            node = self.children[part] = _Node()
            node.line = line
        return node


class Lines:
    """The lines of a TOML text by dotted place; places that an override set (`overridden`) have none."""

    def __init__(self, text: str, overridden: Iterable[Sequence[str | int]] = ()) -> None:
        self._root = _Scan(text).root
        self._overridden = [tuple(parts) for parts in overridden]

    def of(self, dotted: Sequence[str | int]) -> int | None:
        """The line (from 1) of a place, or of its nearest ancestor that has one; None for the document itself."""
        if self.overridden(dotted):
            return None
        node, line = self._root, None
        for part in dotted:
            child = node.children.get(part)
            if child is None:
                break
            node, line = child, child.line
        return line

    def overridden(self, dotted: Sequence[str | int]) -> bool:
        """Whether the place, a table that it is in, or all that is in it comes from the command line."""
        place = tuple(dotted)
        if any(place[: len(parts)] == parts for parts in self._overridden):
            return True
        return any(parts[: len(place)] == place for parts in self._overridden) and not self._written(place)

    def _written(self, place: Sequence[str | int]) -> bool:
        """Whether the text itself has something at this place."""
        node: _Node | None = self._root
        for part in place:
            node = node.children.get(part) if node is not None else None
        return node is not None


class _Scan:
    """One pass over a text that the parser accepted, with a stack of open lists and inline tables."""

    def __init__(self, text: str) -> None:
        self.text, self.pos, self.line, self._counted = text.lstrip("\ufeff"), 0, 1, 0
        self.root = self.table = _Node()
        self.open: list[tuple[str, _Node]] = []
        while self._skip():
            self._one()

    def _skip(self) -> bool:
        """Go to the next thing that is neither space nor comment; False at the end."""
        found = SKIP.match(self.text, self.pos)
        self.pos = found.end() if found else self.pos
        self.line += self.text.count("\n", self._counted, self.pos)
        self._counted = self.pos
        return self.pos < len(self.text)

    def _one(self) -> None:
        char = self.text[self.pos]
        if not self.open:
            if char == "[":
                self._header()
            else:
                self._pair(self.table)
            return
        bracket, node = self.open[-1]
        if char == bracket:
            self.open.pop()
            self.pos += 1
        elif char == ",":
            self.pos += 1
        elif bracket == "}":
            self._pair(node)
        else:
            node.count += 1
            self._value(node.at(node.count - 1, self.line))

    def _header(self) -> None:
        several = self.text.startswith("[[", self.pos)
        self.pos += 2 if several else 1
        node = self.root
        keys = self._keys()
        for i, key in enumerate(keys):
            node = node.at(key, self.line)
            last = i == len(keys) - 1
            if last and several:
                node.tables, node.count = True, node.count + 1
            if node.tables:
                node = node.at(node.count - 1, self.line)
        node.line = self.line
        self.table = node
        end = self.text.find("]", self.pos)
        self.pos = len(self.text) if end < 0 else end + (2 if several else 1)

    def _keys(self) -> list[str]:
        """The parts of a dotted key; the place after it is where scanning goes on."""
        keys: list[str] = []
        while found := KEY.match(self.text, self.pos):
            basic, literal, bare = found.groups()
            keys.append(_unescape(basic) if basic is not None else literal if literal is not None else bare)
            self.pos = found.end()
            if not self.text.startswith(".", self.pos):
                break
            self.pos += 1
        return keys

    def _pair(self, node: _Node) -> None:
        start = self.pos
        for key in self._keys():
            node = node.at(key, self.line)
        if self.text.startswith("=", self.pos):
            self.pos += 1
            if self._skip():
                self._value(node)
        self.pos = max(self.pos, start + 1)

    def _value(self, node: _Node) -> None:
        start, char = self.pos, self.text[self.pos]
        if char in "[{":
            self.open.append(("]" if char == "[" else "}", node))
            self.pos += 1
            return
        found = TEXT.match(self.text, start) or SCALAR.match(self.text, start)
        self.pos = max(found.end() if found else start, start + 1)


def _unescape(key: str) -> str:
    if "\\" not in key:
        return key
    return ESCAPE.sub(_character, key)


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if not code:
        return SHORT.get(found[4], found[4])
    return chr(int(code, 16)) if int(code, 16) < 0x110000 else "\ufffd"
