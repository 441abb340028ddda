"""What is declared is what is there: packages, dependencies and their pins, the files of the repository."""

from __future__ import annotations

import ast
import fnmatch
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
HOUSE = ("manifests", "attention", "workers", "jobs")
NOT_SHIPPED = ("tests", "benchmarks", "examples", "docs")

TOP_LEVEL = {
    *HOUSE,
    *NOT_SHIPPED,
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "renderay.py",
    "requirements.txt",
}

# Joined here, so that this file does not name them either.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("pypi", "nvidia", "com"),
        ("download", "pytorch", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
    )
]

# Import name -> distribution, where the two differ by more than case and dashes.
DISTRIBUTION = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "google": "protobuf",
    "pydantic_core": "pydantic",
    "skimage": "scikit-image",
}
# Attention libraries that are used if they happen to be installed; which is for the user to decide.
OPTIONAL = {"flash_attn", "flash_attn_interface", "sageattention", "xformers", "torchvision"}


def repository_files() -> list[Path]:
    """Every file git tracks or would offer to add, relative to the root."""
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(git, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return sorted(Path(name) for name in set(listed.split("\0")) - {""} if (ROOT / name).is_file())


def pins(file_name: str) -> dict[str, Requirement]:
    """The requirements of a pip file by canonical name; options and comments left out."""
    lines = (line.split("#")[0].strip() for line in (ROOT / file_name).read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    by_name: dict[str, Requirement] = {canonicalize_name(req.name): req for req in found}
    assert len(by_name) == len(found), f"{file_name} lists a package twice"
    return by_name


def pinned_version(req: Requirement) -> Version:
    match = re.fullmatch(r"==([^,*]+)", str(req.specifier))
    assert match, f"{req} is not pinned to one version"
    return Version(match.group(1))


def declared(*extras: str) -> list[Requirement]:
    """The ranges of pyproject.toml: the run-time ones, then those of the extras named."""
    project = PROJECT["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(text) for group in groups for text in group]


def test_declared_packages_are_the_folders_that_exist() -> None:
    sources = [path for path in repository_files() if path.suffix == ".py"]
    folders = {".".join(path.parent.parts) for path in sources if path.parts[0] not in NOT_SHIPPED}
    assert sorted(SETUPTOOLS["packages"]) == sorted(folders - {""})
    assert sorted(SETUPTOOLS["py-modules"]) == sorted(path.stem for path in sources if len(path.parts) == 1)
    for package in SETUPTOOLS["packages"]:
        assert (ROOT / package.replace(".", "/") / "__init__.py").is_file(), f"{package} has no __init__.py"


def test_every_data_file_inside_a_package_is_shipped() -> None:
    patterns = dict(SETUPTOOLS["package-data"])
    everywhere = patterns.pop("*")
    named = {found for package, own in patterns.items() for each in own for found in (ROOT / package).glob(each)}
    data = [path for path in repository_files() if path.parts[0] in HOUSE and path.suffix != ".py"]
    left_out = [
        str(path)
        for path in data
        if ROOT / path not in named
        and not (
            ".".join(path.parent.parts) in SETUPTOOLS["packages"]
            and any(fnmatch.fnmatch(path.name, pattern) for pattern in everywhere)
        )
    ]
    assert not left_out, "not covered by packages and package-data in pyproject.toml"


def test_console_script_resolves() -> None:
    module, _, name = PROJECT["project"]["scripts"]["renderay"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_requirements_pin_each_dependency_inside_its_range() -> None:
    pinned = pins("requirements.txt")
    wanted = declared("dev")
    for req in wanted:
        pin = pinned.get(canonicalize_name(req.name))
        assert pin is not None, f"{req.name} is in pyproject.toml and not in requirements.txt"
        assert pinned_version(pin) in req.specifier, f"{pin} is outside {req}"
        assert pin.extras == req.extras, f"{pin} and {req} differ in extras"
    assert set(pinned) == {canonicalize_name(req.name) for req in wanted}


def test_constraints_pin_the_rest_for_either_build_of_torch() -> None:
    direct, rest = pins("requirements.txt"), pins("constraints.txt")
    assert "-c constraints.txt" in (ROOT / "requirements.txt").read_text().splitlines()
    assert not set(direct) & set(rest), "pinned in both files"
    for name, req in {**direct, **rest}.items():
        assert pinned_version(req).local is None, f"{req} fits one build only"
        assert not re.match(r"nvidia-|cuda-|triton$", name), f"{name} comes with the CUDA build of torch alone"
        assert name != "torchvision", "its wheels fit one build of torch only"


def test_every_import_of_the_house_is_a_declared_dependency() -> None:
    packages = [*(req.name for req in declared("analysis", "quantize")), *OPTIONAL]
    known = {canonicalize_name(name) for name in packages}
    undeclared = []
    for path in repository_files():
        if path.suffix != ".py" or path.parts[0] in NOT_SHIPPED:
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {*HOUSE, "renderay"}:
                if canonicalize_name(DISTRIBUTION.get(top, top)) not in known:
                    undeclared.append(f"{path}:{node.lineno}: {top}")
    assert not undeclared


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{path}: {host}"
        for path in repository_files()
        for host in REGISTRIES
        if host.encode() in (ROOT / path).read_bytes().lower()
    ]
    assert not found, "pip's own settings say where packages come from"


def test_top_level_holds_nothing_else() -> None:
    assert {path.parts[0] for path in repository_files()} <= TOP_LEVEL


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[-1] == "make test"
    assert script.stat().st_mode & 0o111, ".ci/run is not executable"
