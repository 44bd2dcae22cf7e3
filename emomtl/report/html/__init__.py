"""Pages that open from disk: one file, nothing from the network, everything escaped."""

from emomtl.report.html.page import Section, page
from emomtl.report.html.sections import sections_of, summary_of, warnings_of
from emomtl.report.html.shell import rendered
from emomtl.report.html.svg import inline

__all__ = ["Section", "inline", "page", "rendered", "sections_of", "summary_of", "warnings_of"]
