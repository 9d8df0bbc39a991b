"""Certificate folders, written whole or not at all."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from symbolic.errors import OptionError

__all__ = ["write_folder"]

# What a certificate folder may hold; a folder with anything else is somebody's work and is not replaced.
_OURS = re.compile(
    r"certificate\.json|audited\.onnx|(input|original)_\d+\.npy|reference\.npy|var\.npy|eta\.json"
    r"|eva\.json|model\.onnx|labels\.npy|points\.npy"
)
_WHOLE = ({"certificate.json", "audited.onnx"}, {"eva.json", "model.onnx"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def write_folder(path: str | os.PathLike[str], files: Mapping[str, bytes]) -> Path:
    """Write files into a folder of their own, atomically.

    They are written into a hidden folder beside `path`, flushed to the disk, and renamed. Whatever goes
    wrong, Ctrl-C included, `path` holds what it held before or all of the new files, and the hidden folder
    is removed. An older certificate folder at `path` is replaced: by one exchange on Linux, elsewhere by two
    renames.

    Parameters
    ----------
    path : str or path
        Folder to make; missing parents are made too.
    files : mapping of str to bytes
        Contents by plain file name.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OptionError
        If something other than an empty or a certificate folder is at `path`, or it cannot be written.
    """
    target = Path(path)
    for name in files:
        if not _NAME.fullmatch(name):
            raise OptionError(f'"{name}" is no plain file name.')
    try:
        require_replaceable(target)
        parent = target.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=parent))
        try:
            _fill(fresh, files)
            _move_into_place(fresh, target)
            _flush_folder(parent)
        finally:
            # After an exchange this is the older folder, otherwise what is left of a failure.
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise OptionError(f"{target} cannot be written ({error.strerror or error}).") from None
    return target


def require_replaceable(target: Path) -> None:
    """Refuse a path that holds anything but nothing, an empty folder or a certificate folder.

    Raises
    ------
    OptionError
    """
    if target.name in ("", ".."):
        raise OptionError(f'"{target}" is no name for a new folder.')
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise OptionError(f"{target} exists and is not a certificate folder; choose another place.")
    names = sorted(entry.name for entry in os.scandir(target))
    foreign = [name for name in names if not _OURS.fullmatch(name)]
    if names and (foreign or not any(whole <= set(names) for whole in _WHOLE)):
        raise OptionError(
            f"{target} exists and holds {(foreign or names)[0]}, so it is not a certificate folder; "
            "choose another "
            "place."
        )


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(folder, 0o777 & ~umask)  # temporary folders are made for their owner only
    for name, data in files.items():
        with open(folder / name, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(fresh: Path, target: Path) -> None:
    if not target.exists():
        os.rename(fresh, target)
        return
    if _exchange(fresh, target):
        return
    older = fresh.with_suffix(".older")
    try:
        os.rename(target, older)
        os.rename(fresh, target)
    except BaseException:
        if not target.exists() and older.exists():
            os.rename(older, target)
        raise
    shutil.rmtree(older, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, where the system can."""
    if not sys.platform.startswith("linux"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(rename(here, os.fsencode(one), here, os.fsencode(other), exchange)) == 0
