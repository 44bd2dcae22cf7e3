"""A picture of matplotlib as a part of a page: without styles of its own, with a title for whoever
cannot see it.
"""

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
    if re.search(
        r"<\s*(script|foreignObject)|\son\w+\s*=", QUOTED.sub('""', body), flags=re.IGNORECASE
    ):
        raise ValueError("the picture has a script in it")
    body = STYLED.sub(lambda found: _attributes(found[1]), body)
    body = NAMED.sub(lambda found: f"<g><title>{escape(unescape(found[1]))}</title>", body)
    body = PLACED.sub(r'\1"', re.sub(r">\s+<", "><", body))
    body = DRAWN.sub(lambda found: ' d="' + DIGITS.sub(r"\1", found[1]) + '"', body)
    body = MOVED.sub(lambda found: DIGITS.sub(r"\1", found[0]), body)
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{escape(plain(title))}" ', 1))


def _in_double_quotes(value: re.Match[str]) -> str:
    """A value of an attribute, which matplotlib puts into single quotes where it holds a double
    one.
    """
    return value[0] if value[1] is None else '"' + value[1].replace('"', "&quot;") + '"'


def _attributes(style: str) -> str:
    """`fill: none; stroke: #000` as attributes."""
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)
