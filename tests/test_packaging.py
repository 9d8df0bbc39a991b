"""The front door: every public name resolves, imports stay lazy, and the version is said once."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest

import sureline

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", sureline.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(sureline, name).__name__ == name


def test_lazy_table_and_type_checking_imports_agree() -> None:
    tree = ast.parse((ROOT / "sureline" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == sureline._MODULE_OF
    assert sorted(declared) == sorted(sureline.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = sureline.no_such_name


def test_import_and_command_line_stay_lazy() -> None:
    code = (
        "import sys, sureline, sureline.cli; "
        "print([m for m in ('numpy', 'onnx', 'flint', 'scipy', 'onnxruntime') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == sureline.__version__
    assert f"\nversion: {sureline.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {sureline.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_imports_go_one_way() -> None:
    order = ["symbolic", "verifier", "inference", "sureline"]
    wrong = []
    for place, package in enumerate(order):
        for path in (ROOT / package).rglob("*.py"):
            for name in _imported(path):
                if name.split(".")[0] in order[place + 1 :]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_operators_page_is_up_to_date_and_has_no_hole() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_operators_table.py"))
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert page == script["table"](), "run: python docs/make_operators_table.py"
    assert not [line for line in page.splitlines() if line.endswith("| no |")]


def test_methods_page_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_methods_table.py"))
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == script["table"](), "run: python docs/make_methods_table.py"


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:]+)[)#]", text):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


def _code(page: Path) -> str:
    """The Python blocks of a page, in order."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def test_readme_example_runs(tmp_path: Path) -> None:
    code = _code(ROOT / "README.md").replace("audit/digit", str(tmp_path / "digit"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("valid: 3.9")


def test_certificate_page_example_and_schema(tmp_path: Path) -> None:
    words = ["audit", "two.onnx", "x.npy", "--var", "1", "--threshold", "1/2", "--out", "audit"]
    code = _code(ROOT / "docs" / "certificate.md") + f"from sureline.cli import main\nmain({words})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=_path()
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "audit" / "certificate.json").read_text(encoding="utf-8"))
    assert document["line"]["scale"] == "2" and document["claim"]["stat"] == "7/4"
    assert document["observed"][0]["values"] == "gA=="
    p = Fraction("0.724722491236802325470724150029")  # 2 (1 - 0.637639...), in ball arithmetic, by hand
    assert Fraction(document["claim"]["inf_p"]) <= p <= Fraction(document["claim"]["sup_p"])
    assert not any("gap" in cell for cell in document["cells"])
    ends = [(end["t"], end["element"]) for end in document["ends"]]
    assert ends == [("-3/2", 0), ("-5/4", 1), ("-1/4", 1)]
    schema = json.loads((ROOT / "verifier" / "certificate.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    document["cells"][0].append(0)
    assert not jsonschema.Draft202012Validator(schema).is_valid(document)


def _path() -> dict[str, str]:
    """An environment in which the packages are found from any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _imported(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = list(path.relative_to(ROOT).parent.parts)
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} if node.module else {f"{module}.{alias.name}" for alias in node.names}
    return names
