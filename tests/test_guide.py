"""docs/adding-an-operator.md shows the real code, and names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "adding-an-operator.md").read_text(encoding="utf-8")
EXCERPTS = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
SOURCES = [path for part in ("symbolic", "verifier", "tests") for path in (ROOT / part).rglob("*.py")]


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda text: re.findall(r"def (\w+)", text)[0])
def test_excerpt_is_the_real_code(excerpt: str) -> None:
    assert any(excerpt in path.read_text(encoding="utf-8") for path in SOURCES)


def test_files_exist_and_the_page_is_short() -> None:
    named = set(re.findall(r"(?:symbolic|verifier|tests|docs)/[\w/.]+\.(?:py|json|md)", GUIDE))
    assert len(named) >= 8
    assert not [name for name in named if not (ROOT / name).exists()]
    assert len(GUIDE.splitlines()) < 150
