"""The options of a plugin's dataclass: read strictly from a manifest, and written back."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
)

from emomtl.errors import EmomtlError, Problem
from emomtl.manifest.faults import MAX_PROBLEMS, unusable_values, validation_faults
from emomtl.manifest.wording import Node


def read_options(
    cls: type, options: Mapping[str, Any], place: str
) -> tuple[Any | None, list[Problem]]:
    """An object of the dataclass `cls` with these options, or None and what is wrong with them.

    Values are checked strictly against the types of the fields (ranges by `annotated_types`).
    Lists become tuples, except for fields that say `list`. `place` is the dotted place of the
    options in the manifest, such as "sampler". A ValueError or EmomtlError of `__post_init__`
    becomes a problem. Raises `EmomtlError` if the fields have types that cannot be read.
    """
    model, schema = option_model(cls), _schema(cls)
    faults = unusable_values(options, schema)
    if faults:
        return None, [fault.problem(place) for fault in faults[:MAX_PROBLEMS]]
    try:
        read = model.model_validate_json(json.dumps(options))
        hints = _hints(cls)
        arguments = {}
        for field_name in read.model_fields_set:
            name, value = str(model.model_fields[field_name].alias), getattr(read, field_name)
            arguments[name] = value if _mentions_list(hints[name]) else _with_tuples(value)
        return cls(**arguments), []
    except ValidationError as error:
        faults, _ = validation_faults(error, options, schema)
        return None, [fault.problem(place) for fault in faults]
    except EmomtlError as error:
        return None, [_below(problem, place, cls) for problem in error.problems]
    except ValueError as error:
        return None, [Problem(place, str(error))]


def options_of(value: Any) -> dict[str, Any]:
    """The options of a dataclass object as TOML writes them: tuples as lists, without None."""
    options = {field.name: getattr(value, field.name) for field in _fields(type(value))}
    return {name: _plain(option) for name, option in options.items() if option is not None}


@cache
def option_model(cls: type) -> type[BaseModel]:
    """The strict pydantic model of a dataclass's fields; their names are the aliases of its own.

    So a field may have a name that pydantic's models use themselves, such as `json`.
    """
    fields: dict[str, Any] = {}
    hints = _hints(cls)
    for number, field in enumerate(_fields(cls)):
        about = field.metadata.get("description")
        info = Field(alias=field.name, title=field.name, description=about, **_default(field))
        fields[f"option_{number}"] = (hints[field.name], info)
    config = ConfigDict(strict=True, extra="forbid", frozen=True, title=cls.__name__)
    try:
        return create_model(cls.__name__, __config__=config, __doc__=_summary(cls), **fields)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        reason = str(error).partition("\n")[0]
        found = f"{_name(cls)} has an option that cannot be read from TOML: {reason}"
        remedy = "numbers, text, bool, Literal, Enum, tuples, mappings and dataclasses of these"
        raise EmomtlError(found, remedy=remedy) from error


@cache
def _schema(cls: type) -> Node:
    """The JSON Schema of the options; empty where a type has none."""
    try:
        return option_model(cls).model_json_schema()
    except PydanticInvalidForJsonSchema:
        return {}


@cache
def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        found = f"the options of {_name(cls)} cannot be read: {error}"
        remedy = "import the types of options at module level, not under TYPE_CHECKING"
        raise EmomtlError(found, remedy=remedy) from error


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return tuple(field for field in fields if field.init)


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """The default as pydantic takes it: a value that the schema can show, else a function."""
    if field.default_factory is not dataclasses.MISSING:
        return {"default_factory": field.default_factory}
    if field.default is dataclasses.MISSING:
        return {}
    default = field.default
    try:
        json.dumps(_plain(default), allow_nan=False)
    except (TypeError, ValueError):
        return {"default_factory": lambda: default}
    return {"default": default}


def _summary(cls: type) -> str | None:
    """The first line of a docstring, unless it is the one that dataclasses write themselves."""
    line = (cls.__doc__ or "").strip().partition("\n")[0]
    return None if line.startswith(f"{cls.__name__}(") else line or None


def _mentions_list(hint: Any) -> bool:
    if hint is list or typing.get_origin(hint) is list:
        return True
    return any(_mentions_list(part) for part in typing.get_args(hint))


def _with_tuples(value: Any) -> Any:
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value


def _below(problem: Problem, place: str, cls: type) -> Problem:
    """A problem that the dataclass itself raised, placed in the manifest."""
    names = {field.name for field in _fields(cls)}
    if problem.place.partition(".")[0] in names:
        return dataclasses.replace(problem, place=f"{place}.{problem.place}")
    found = f"{problem.place}: {problem.found}" if problem.place else problem.found
    return dataclasses.replace(problem, place=place, found=found)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    return options_of(value) if dataclasses.is_dataclass(value) else value
