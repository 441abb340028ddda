"""Command-line options made from the fields of `JobSpec`, and the YAML config that fills the same names.

One definition serves the CLI, the config file and the API, so their names and checks cannot drift apart.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

import click

from jobs.spec import JobSpec
from jobs.yaml_file import read_mapping
from manifests.errors import SpecError

_METAVARS = {int: "N", float: "X", str: "TEXT"}
_NAMED_METAVARS = {
    "model": "REF",
    "out": "URI",
    "column": "CANONICAL=NAME",
    "lora": "REF[:SCALE]",
    "address": "ADDR",
    "gpu_memory": "GIB",
    "attention": "NAME",
    "quantize": "METHOD",
}


def spec_options(*without: str) -> Callable[[Any], Any]:
    """Give a click command one option for every JobSpec field but `manifest` and those it defines itself."""

    def decorate(function: Any) -> Any:
        fields = [name for name in JobSpec.model_fields if name not in ("manifest", *without)]
        for name in reversed(fields):
            function = _option(name)(function)
        return function

    return decorate


def _option(name: str) -> Callable[[Any], Any]:
    field = JobSpec.model_fields[name]
    flag = "--" + name.replace("_", "-")
    kind, many = _click_type(field.annotation)
    silent = field.is_required() or field.default is False or field.default in (None, ())
    default = "" if silent else f"  [default: {_shown(field.default)}]"
    text = f"{field.description}{default}"
    if kind is bool:
        return click.option(f"{flag}/--no-{name.replace('_', '-')}", name, default=None, help=text)
    metavar = _NAMED_METAVARS.get(name) or _metavar(field.annotation)
    return click.option(flag, name, type=kind, multiple=many, default=None, help=text, metavar=metavar)


def _shown(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def _click_type(annotation: Any) -> tuple[Any, bool]:
    """The click type of a field, and whether the option repeats. Values are checked by JobSpec itself."""
    parts = _alternatives(annotation)
    if any(get_origin(part) is tuple for part in parts):
        return str, True
    if bool in parts:
        return bool, False
    return str, False


def _metavar(annotation: Any) -> str:
    names: list[str] = []
    for part in _alternatives(annotation):
        names += map(str, get_args(part)) if get_origin(part) is Literal else [_METAVARS.get(part, "TEXT")]
    return "|".join(names)


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for part in get_args(annotation) if part is not type(None)]
    return [annotation]


def merge_config(path: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Options given on the command line over those of a YAML file; what neither names is left to JobSpec.

    Raises SpecError where the file cannot be read, is not a mapping or holds an unknown key.
    """
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    return read_config(path) | chosen if path else chosen


def read_config(path: str) -> dict[str, Any]:
    """The options in a YAML file: keys as JobSpec names them, `-` or `_` between words."""
    found = read_mapping("config", path, "option names to values, like `steps: 28`")
    options = {str(name).replace("-", "_"): value for name, value in found.items()}
    for name in ("manifest", "column", "lora", "quantize"):
        if isinstance(options.get(name), str):
            options[name] = [options[name]]
    if isinstance(options.get("column"), dict):
        options["column"] = [f"{canonical}={name}" for canonical, name in options["column"].items()]
    unknown = [name for name in options if name not in JobSpec.model_fields]
    if unknown:
        raise SpecError(f"config {path}: unknown option {unknown[0]!r}; known: {', '.join(JobSpec.model_fields)}")
    return options
