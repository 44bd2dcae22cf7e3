"""Formats of tables for files: every module of this folder that declares `FORMAT` is one."""

from __future__ import annotations

import importlib
import pkgutil

from emomtl.report.formats.table_format import TableFormat

__all__ = ["TableFormat", "table_formats"]


def table_formats() -> list[TableFormat]:
    """All formats, by the names of their modules."""
    names = [module.name for module in pkgutil.iter_modules(__path__, f"{__name__}.")]
    modules = [importlib.import_module(name) for name in sorted(names)]
    return [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
