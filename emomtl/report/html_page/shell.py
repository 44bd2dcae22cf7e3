"""The shell of every page: a template, and a policy that allows its own style and script only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emomtl.safety.escaping import printable_lines

STYLE = Path(__file__).parent / "page.css"
"""The style that all pages share; a page may add its own."""

CLOSED = ("base-uri 'none'", "form-action 'none'")
"""The rules of the content security policy that need no hash."""


def rendered(
    template: Path,
    context: Mapping[str, Any],
    styles: Sequence[Path] = (),
    script: Path | None = None,
    filters: Mapping[str, Callable[[Any], str]] | None = None,
) -> str:
    """The text of a page; whatever the template is given is escaped, unless it is markup.

    Control characters are written out. The template gets `style`, `script` and `policy`: a content
    security policy by which the browser loads nothing, and runs and styles only what stands in this
    page and has the right hash.
    """
    from jinja2 import Environment, StrictUndefined

    style = "".join(path.read_text(encoding="utf-8") for path in (STYLE, *styles))
    code = script.read_text(encoding="utf-8") if script is not None else ""
    rules = ["default-src 'none'", f"style-src '{_hash(style)}'", *CLOSED]
    if code:
        rules.insert(1, f"script-src '{_hash(code)}'")
    policy = "; ".join(rules)
    how: dict[str, Any] = {"autoescape": True, "undefined": StrictUndefined, "finalize": _seen}
    environment = Environment(**how, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters or {})
    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(**context, style=style, script=code, policy=policy)


def _seen(value: Any) -> Any:
    """What the template is given, with control and bidi characters of texts written out; markup as
    it is.
    """
    return printable_lines(value) if type(value) is str else value


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
