"""What is kept on this machine between runs: compiled kernels, where numba and Taichi put them, and copies of objects.

Where the user's own place cannot be written, a temporary folder takes it. A package that is installed read-only, for a
user without a home, has no such place. numba then raises when it is imported, and Taichi crashes when the process ends.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

_NUMBA_VARIABLE = "NUMBA_CACHE_DIR"

# So long after its last change, nobody works on an unfinished thing any more.
ABANDONED_S = 86_400.0


def settle_numba() -> None:
    """Name a folder for numba, where neither that of the package nor the user's can be written. Before its import."""
    if _NUMBA_VARIABLE not in os.environ and not (_is_writable(Path(__file__).parent) or _is_writable(_users("numba"))):
        os.environ[_NUMBA_VARIABLE] = str(_temporary() / "numba")


def taichi_folder() -> Path | None:
    """The folder for Taichi; None where its own choice can be written."""
    return None if _is_writable(_users("taichi")) else _temporary() / "taichi"


def copies_folder() -> Path:
    """The folder for copies of what lies in object stores (`runtime.copies`)."""
    own = _users("bokehforge") / "copies"
    return own if _is_writable(own) else _temporary() / "copies"


def workshop() -> Path:
    """A folder for what is made here to be sent elsewhere, on the disk for temporary files."""
    folder = _temporary() / "made"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        # What a killed process has left. What is made takes minutes at most.
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left)
    return folder


def _users(name: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), name)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """A folder of this user alone: what is kept there is run."""
    import tempfile

    folder = Path(tempfile.gettempdir(), f"bokehforge-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise PermissionError
    except OSError:
        return Path(tempfile.mkdtemp(prefix="bokehforge-"))
    return folder
