"""The checker imports the standard library, onnx, numpy, flint and itself; nothing else of Sureline."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "verifier" / "check").rglob("*.py"))
ALLOWED = {*sys.stdlib_module_names, "onnx", "numpy", "flint"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert all(
                a.name.split(".")[0] in ALLOWED or a.name.startswith("verifier.check.") for a in node.names
            )
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            assert node.level == 0
            assert module.split(".")[0] in ALLOWED or f"{module}.".startswith("verifier.check.")
        assert not isinstance(node, ast.Assert), "checks are not asserts"


def test_nothing_else_is_loaded() -> None:
    code = (
        "import sys, verifier.check; print([m for m in sys.modules if m.split('.')[0] in "
        "('symbolic', 'inference', 'sureline', 'scipy', 'onnxruntime', 'torch')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_files_are_small() -> None:
    assert all(len(p.read_text().splitlines()) < 330 for p in FILES)
