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
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from emomtl.errors import EmomtlError, Problem
from emomtl.manifest.faults import MAX_PROBLEMS, faults_of, odd_values
from emomtl.manifest.words import Node


def read_options(cls: type, options: Mapping[str, Any], place: str) -> tuple[Any | None, list[Problem]]:
    """An object of the dataclass `cls` with these options, or None and everything that is wrong with them.

    Values are checked strictly against the types of the fields (ranges by `annotated_types`); lists become tuples, except
    for fields that say `list`. `place` is the dotted place of the options in the manifest, such as "sampler". A ValueError
    or EmomtlError of `__post_init__` becomes a problem. Raises `EmomtlError` where the fields themselves cannot be read.
    """
    model, schema = option_model(cls), _schema(cls)
    faults = odd_values(options, schema)
    if faults:
        return None, [fault.problem(place) for fault in faults[:MAX_PROBLEMS]]
    try:
        read = model.model_validate_json(json.dumps(options))
        given = {str(model.model_fields[name].alias): getattr(read, name) for name in read.model_fields_set}
        hints = _hints(cls)
        return cls(**{name: item if _says_list(hints[name]) else _frozen(item) for name, item in given.items()}), []
    except ValidationError as error:
        faults = [fault for fault in faults_of(error, options, schema) if fault.found]
        return None, [fault.problem(place) for fault in faults]
    except EmomtlError as error:
        return None, [_below(problem, place, cls) for problem in error.problems]
    except ValueError as error:
        return None, [Problem(place, str(error))]


def options_of(value: Any) -> dict[str, Any]:
    """The options of a dataclass object as TOML can say them: None left out, tuples as lists, enums by value."""
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    given = {field.name: getattr(value, field.name) for field in fields if field.init}
    return {name: _plain(item) for name, item in given.items() if item is not None}


@cache
def option_model(cls: type) -> type[BaseModel]:
    """The pydantic model of a dataclass's fields: strict, and without other keys; fields are told by their aliases."""
    fields: dict[str, Any] = {}
    hints = _hints(cls)
    for i, field in enumerate(_fields(cls)):
        info = Field(alias=field.name, title=field.name, description=field.metadata.get("description"), **_default(field))
        fields[f"option_{i}"] = (hints[field.name], info)
    config = ConfigDict(strict=True, extra="forbid", frozen=True, title=cls.__name__)
    try:
        return create_model(cls.__name__, __config__=config, __doc__=_summary(cls), **fields)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        reason = str(error).partition("\n")[0]
        raise EmomtlError(f"{_name(cls)} has an option that cannot be read from TOML: {reason}", remedy=_USABLE) from error


_USABLE = "numbers, text, bool, Literal, Enum, tuples, mappings and dataclasses of these"


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
        remedy = "import the types of options at module level, not under TYPE_CHECKING"
        raise EmomtlError(f"the options of {_name(cls)} cannot be read: {error}", remedy=remedy) from error


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(field for field in dataclasses.fields(cls) if field.init) if dataclasses.is_dataclass(cls) else ()


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """The default as pydantic takes it: shown in the schema where JSON can say it, made by a function elsewhere."""
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
    """The first line of a docstring that somebody wrote; dataclasses invent one that repeats the signature."""
    words = (cls.__doc__ or "").strip().partition("\n")[0]
    return None if words.startswith(f"{cls.__name__}(") else words or None


def _says_list(hint: Any) -> bool:
    return hint is list or typing.get_origin(hint) is list or any(_says_list(part) for part in typing.get_args(hint))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _below(problem: Problem, place: str, cls: type) -> Problem:
    """A problem that the dataclass itself found, placed in the manifest."""
    own = {field.name for field in _fields(cls)}
    inside = problem.place.partition(".")[0] in own
    found = problem.found if inside or not problem.place else f"{problem.place}: {problem.found}"
    return dataclasses.replace(problem, place=f"{place}.{problem.place}" if inside else place, found=found)


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
