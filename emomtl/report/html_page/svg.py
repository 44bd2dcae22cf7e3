"""A picture of matplotlib inside an HTML page: no styles of its own, a title for screen readers."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING

from emomtl.report.cells import plain
from emomtl.report.drawing import HOVER

if TYPE_CHECKING:
    from markupsafe import Markup

STYLED = re.compile(r' style="([^"]*)"')
DRAWN, DIGITS = re.compile(r' d="([^"]*)"'), re.compile(r"(\.\d\d)\d+")
PLACED = re.compile(r'(\b[xy]="-?\d+\.\d)\d+"')
MOVED = re.compile(r"translate\([^)]*\)")
TAG, VALUE = re.compile(r"<[^<>]*'[^<>]*>"), re.compile(r"\"[^\"]*\"|'([^']*)'")
SCRIPT = re.compile(r"<\s*(script|foreignObject)|\son\w+\s*=", re.IGNORECASE)
QUOTED = re.compile(r'"[^"]*"')
NAMED = re.compile(rf'<g id="{HOVER}([^"]*)">')


def inline(svg: str, title: str) -> Markup:
    """The picture as markup; `title` says what it shows.

    Styles become attributes, as the page's policy allows no styles in elements. Comments and
    metadata are left out. Names that begin with `HOVER` become titles to hover, and digits that no
    eye sees are cut. ValueError where there is a script in it, which matplotlib never writes.
    """
    from markupsafe import Markup

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = TAG.sub(lambda tag: VALUE.sub(_in_double_quotes, tag[0]), body)
    if SCRIPT.search(QUOTED.sub('""', body)):
        raise ValueError("the picture has a script in it")
    body = STYLED.sub(lambda match: _attributes(match[1]), body)
    body = NAMED.sub(lambda match: f"<g><title>{escape(unescape(match[1]))}</title>", body)
    body = PLACED.sub(r'\1"', re.sub(r">\s+<", "><", body))
    body = DRAWN.sub(lambda match: ' d="' + DIGITS.sub(r"\1", match[1]) + '"', body)
    body = MOVED.sub(lambda match: DIGITS.sub(r"\1", match[0]), body)
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{escape(plain(title))}" ', 1))


def _in_double_quotes(value: re.Match[str]) -> str:
    """A value of an attribute; matplotlib puts it into single quotes where it has a double one."""
    if value[1] is None:
        return value[0]
    return '"' + value[1].replace('"', "&quot;") + '"'


def _attributes(style: str) -> str:
    """`fill: none; stroke: #000` as attributes."""
    attributes = ""
    for part in filter(str.strip, style.split(";")):
        name, _, value = part.partition(":")
        attributes += f' {name.strip()}="{value.strip()}"'
    return attributes
