"""The house as DESIGN.md draws it: who may import whom, what is loaded when, what files are called."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "manifests": {"manifests"},
    "attention": {"attention", "manifests"},
    "workers": {"workers", "attention", "manifests"},
    "jobs": {"jobs", "workers", "attention", "manifests"},
}
OURS = {*MAY_IMPORT, "renderay"}
SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
FOLDERS = sorted({path.parent for path in SOURCES})


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """The top-level name of every module imported anywhere in a file, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package in full"
            yield str(node.module).partition(".")[0]


def imports_when_loaded(statements: list[ast.stmt]) -> Iterator[str]:
    """Those that run when the file itself is imported: not in functions, not for the type checker alone."""
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from imports(statement)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from imports_when_loaded(statement.orelse)
        else:
            for field in ("body", "orelse", "finalbody"):
                yield from imports_when_loaded(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from imports_when_loaded(handler.body)


def test_the_finder_tells_import_time_from_call_time() -> None:
    source = "\n".join(
        [
            "import a.b, c",
            "if TYPE_CHECKING:\n    import d",
            "try:\n    from e import f\nexcept ImportError:\n    import g",
            "class C:\n    import h\n    def m(self):\n        import i",
        ]
    )
    tree = ast.parse(source)
    assert set(imports(tree)) == set("acdeghi")
    assert set(imports_when_loaded(tree.body)) == set("acegh")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    package = name_of(path).partition("/")[0]
    found = set(imports(ast.parse(path.read_text())))
    assert found & OURS <= MAY_IMPORT[package]
    if package in ("manifests", "attention") or (package == "workers" and path.name != "actor.py"):
        assert "ray" not in found
    if package == "manifests":
        assert "torch" not in found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_loads_a_model_library_when_it_is_imported(path: Path) -> None:
    found = set(imports_when_loaded(ast.parse(path.read_text()).body))
    assert not found & {"torch", "diffusers", "transformers"}


def python(code: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def test_the_driver_starts_without_torch(tmp_path: Path) -> None:
    loaded = python("import jobs.run, jobs.cli, renderay, sys; print(*sys.modules)", tmp_path).split()
    assert "jobs.driver" in loaded and "workers.worker" not in loaded
    assert not {"torch", "diffusers", "transformers"} & set(loaded)


def test_help_waits_for_nothing_heavy(tmp_path: Path) -> None:
    loaded = python("import jobs.cli, sys; print(*sys.modules)", tmp_path).split()
    assert not {"ray", "duckdb", "pandas", "rich", "jinja2"} & set(loaded)


def test_from_any_folder_every_package_is_ours(tmp_path: Path) -> None:
    names = sorted(OURS)
    code = f"import importlib, json; print(json.dumps([importlib.import_module(n).__file__ for n in {names}]))"
    for name, file in zip(names, json.loads(python(code, tmp_path)), strict=True):
        home = ROOT / "renderay.py" if name == "renderay" else ROOT / name / "__init__.py"
        assert Path(file).resolve() == home


def test_no_file_has_the_name_of_a_stdlib_module() -> None:
    names = {path.stem for path in SOURCES} | {path.name for path in FOLDERS} | {"renderay"}
    assert not names & set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_package_docstring_names_every_file_and_its_one_rule(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    here = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    below = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    assert here <= set(re.findall(r"\w+\.py", text)) <= here, "the map and the folder differ"
    assert below <= set(re.findall(r"\w+/", text))
    assert re.search(r"^Rule: ", text, re.MULTILINE)


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "renderay.py"], ids=name_of)
def test_every_file_says_what_it_is_for_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 300
