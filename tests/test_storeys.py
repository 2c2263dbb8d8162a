"""Imports only go down between the packages; files and functions stay small.

The storeys are those of docs/index.md. Every import statement counts, wherever it stands: one
inside a function or under TYPE_CHECKING ties two packages together just as well.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "memsvc": ROOT / "memsvc",
    "memsvc_router": ROOT / "router/memsvc_router",
    "memsvc_client": ROOT / "clients/memsvc_client",
    "memsvc_kernels": ROOT / "kernels/memsvc_kernels",
    "memsvc_storage": ROOT / "storage/memsvc_storage",
    "memsvc_proto": ROOT / "proto/memsvc_proto",
}
MAY_IMPORT = {
    "memsvc": {
        "memsvc_router",
        "memsvc_client",
        "memsvc_kernels",
        "memsvc_storage",
        "memsvc_proto",
    },
    "memsvc_router": {"memsvc_kernels"},
    "memsvc_client": {"memsvc_proto"},
    "memsvc_kernels": set[str](),
    "memsvc_storage": set[str](),
    "memsvc_proto": set[str](),
}
NEVER = {
    "memsvc_client": {"torch", "transformers", "numpy", "sqlalchemy"},
    "memsvc_storage": {"torch", "transformers", "grpc", "google"},
    "memsvc_kernels": {"transformers", "sqlalchemy", "grpc"},
    "memsvc_router": {"sqlalchemy", "grpc", "google"},
    "memsvc_proto": {"torch", "transformers", "numpy", "sqlalchemy"},
}
GENERATED = PACKAGES["memsvc_proto"] / "v1"
FILE_LINES = 300
FUNCTION_LINES = 35
SCENARIO_LINES = 60  # a test may tell a longer story, read once from top to bottom


def sources(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Every module that people wrote, parsed."""
    for path in sorted(folder.rglob("*.py")):
        if not path.is_relative_to(GENERATED):
            yield path, ast.parse(path.read_text(), str(path))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


def all_written() -> list[tuple[Path, ast.Module]]:
    """Packages, tests, demo, benchmarks, and the scripts that are Python."""
    folders = [*PACKAGES.values(), ROOT / "tests", ROOT / "demo", ROOT / "benchmarks"]
    modules = [found for folder in folders for found in sources(folder)]
    scripts = [path for path in sorted((ROOT / "scripts").iterdir()) if path.is_file()]
    texts = [(path, path.read_text()) for path in scripts]
    is_python = re.compile(r"#!\S+.*python")
    return modules + [(path, ast.parse(text)) for path, text in texts if is_python.match(text)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_from_the_storeys_below(package: str) -> None:
    forbidden = (set(PACKAGES) - {package} - MAY_IMPORT[package]) | NEVER.get(package, set())
    forbidden |= {"tests", "demo", "benchmarks"}
    offences = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in sources(PACKAGES[package])
        for line, name in imported(tree)
        if name in forbidden
    ]
    assert offences == []


def test_importing_the_sdk_loads_neither_torch_nor_the_server() -> None:
    code = "import sys, memsvc_client, memsvc_client.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"torch", "transformers", "numpy", "sqlalchemy"}
    assert not loaded & ({"memsvc", "memsvc_router", "memsvc_storage"} | heavy)


def test_importing_storage_loads_no_model_library() -> None:
    code = "import sys, memsvc_storage; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "transformers", "grpc", "memsvc_router", "memsvc"}


def test_every_module_says_what_it_is() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path, tree in all_written()
        if tree.body and not ast.get_docstring(tree)
    ]
    assert bare == []


def test_files_are_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path, _ in all_written()
        if (lines := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert long == {}


def test_functions_are_short_enough_to_see_at_once() -> None:
    long = {}
    for path, tree in all_written():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = body_lines(node)
                name = f"{path.relative_to(ROOT)}: {node.name}"
                scenario = node.name.startswith("test_")
                if lines > (SCENARIO_LINES if scenario else FUNCTION_LINES):
                    long[name] = lines
    assert long == {}


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of what it does: without decorators, signature and docstring, which only describe."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
