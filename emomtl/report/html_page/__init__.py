"""Pages that open from disk: one file, nothing from the network, everything escaped."""

from emomtl.report.html_page.page import Section, page
from emomtl.report.html_page.sections import sections_of, shown, summary_of, warnings_of
from emomtl.report.html_page.shell import rendered
from emomtl.report.html_page.svg import inline

__all__ = [
    "Section",
    "inline",
    "page",
    "rendered",
    "sections_of",
    "shown",
    "summary_of",
    "warnings_of",
]
