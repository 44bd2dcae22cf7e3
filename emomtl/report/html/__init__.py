"""Pages that open from disk: one file, nothing from the network, everything escaped."""

from emomtl.report.html.page import Section, TextTable, page
from emomtl.report.html.sections import sections_of, shown, summary_of, warnings_of
from emomtl.report.html.shell import rendered
from emomtl.report.html.svg import inline

__all__ = ["Section", "TextTable", "inline", "page", "rendered", "sections_of", "shown", "summary_of", "warnings_of"]
