"""What README.md says is so: its example runs, its links lead somewhere, its tree is complete."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from memsvc_client import MemoryClient

from demo.server import running_server

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DEFAULT_ADDRESS = "127.0.0.1:7600"


def examples() -> list[str]:
    """The Python blocks under lines that name this file: the SDK, a fact said, a fact recalled."""
    mark = r"<!-- tested by tests/test_readme\.py -->\n```python\n(.*?)```"
    found = re.findall(mark, README, re.S)
    assert len(found) == 3
    return found


def example() -> str:
    return examples()[0]


@pytest.mark.slow
def test_the_example_runs_and_prints_what_it_should(tmp_path: Path) -> None:
    said = io.StringIO()
    with running_server(tmp_path) as address:
        with MemoryClient(address) as client:
            client.wait_serving()
        with contextlib.redirect_stdout(said):
            exec(compile(example().replace(DEFAULT_ADDRESS, address), "README.md", "exec"), {})
    assert "blue flower pot" in said.getvalue()
    assert "Keys" in said.getvalue()


@pytest.mark.slow
def test_a_fact_is_recalled_by_another_process(tmp_path: Path) -> None:
    printed = []
    with running_server(tmp_path) as address:
        with MemoryClient(address) as client:
            client.wait_serving()
        for block in examples()[1:]:
            command = [sys.executable, "-c", block.replace(DEFAULT_ADDRESS, address)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            printed.append(done.stdout.strip())
    assert printed == ["", "My sister Ana lives in Lisbon."]


def test_the_start_for_agents_takes_ten_lines() -> None:
    code = "\n".join(examples()[1:])
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_example_uses_the_default_address_and_fits_fifteen_lines() -> None:
    assert DEFAULT_ADDRESS in example()
    assert len(example().splitlines()) <= 15


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_relative_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    assert targets
    assert [t for t in targets if not (ROOT / page).parent.joinpath(t).exists()] == []


def test_the_file_tree_names_every_module() -> None:
    """`scripts/file-tree` brings it up to date."""
    tree = README.partition("<!-- file tree")[2]
    done = subprocess.run(
        ["git", "ls-files", "memsvc", "router", "clients", "kernels", "storage", "scripts", "docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    silent = {"py.typed", "__main__.py"}
    names = [path for path in map(Path, done.stdout.split()) if "default_model" not in path.parts]
    missing = [str(p) for p in names if p.name not in silent and f"  {p.name} " not in tree]
    assert missing == []
