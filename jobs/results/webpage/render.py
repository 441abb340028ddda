"""A page as one file: Jinja2 with autoescape, the shared styles and script before the page's own, both inlined."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

_SHARED = "jobs.results.webpage"


def render_webpage(
    package: str,
    name: str,
    *,
    kind: str,
    heading: str,
    places: Sequence[str],
    sections: dict[str, str],
    filters: Sequence[Callable[..., Any]] = (),
    **values: Any,
) -> str:
    """The HTML of the template `name`.html that lies in `package`, which extends base.html.

    Its styles `name`.css and its script `name`.js, where there is one, lie beside it. `kind` is the command,
    `places` the folders that the page tells of, `sections` what the head links to: anchors and what they are called.
    `filters` are known in the template by their names, `values` too. A name that is missing raises UndefinedError.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(_SHARED, "")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update({function.__name__: function for function in filters})
    style, script = (
        _source(_SHARED, f"base.{suffix}") + _source(package, f"{name}.{suffix}") for suffix in ("css", "js")
    )
    return environment.get_template(f"{name}.html").render(
        kind=kind,
        heading=heading,
        places=places,
        sections=sections,
        style=style,
        script=script,
        script_hash="sha256-" + b64encode(sha256(script.encode()).digest()).decode(),
        **values,
    )


def _source(package: str, name: str) -> str:
    file = files(package) / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""
