"""A user without a name or without a home, as in containers that run as any user id.

torch, Snakemake and DVC ask for the user's name; numba, matplotlib and W&B keep caches in the user's home.
"""

import contextlib
import getpass
import os
import tempfile
from functools import cache
from pathlib import Path

from sgenet.runtime.files import is_private


@cache
def stand_in() -> list[str]:
    """Set what the environment lacks, for this process and those that it starts: USER, and a folder of caches.

    Returns:
        a sentence for each, which says what other programs need.
    """
    lacking = []
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())
        lacking.append(f"user id {os.getuid()} has no name: `dvc` needs the environment variable USER, with any name")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not _writable(caches):
        folder = _folder()
        os.environ["XDG_CACHE_HOME"] = str(folder)
        os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
        lacking.append(
            f"{caches} cannot be written: caches are in {folder}, and `make setup` needs XDG_CACHE_HOME, another folder"
        )
    return lacking


def has_home() -> bool:
    """Whether HOME, or else the system's list of users, names a home, even one that does not exist."""
    return os.path.isabs(os.path.expanduser("~"))


def _writable(folder: Path) -> bool:
    """Whether a folder can be written to, or created."""
    if not folder.is_absolute():  # without HOME and a name, ~ stays as it is
        return False
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return False


def _folder() -> Path:
    """A folder of this user; the same one each time, so that caches are used again, unless others may write to it."""
    folder = Path(tempfile.gettempdir(), f"sgenet-cache-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return folder if is_private(folder) else Path(tempfile.mkdtemp(prefix="sgenet-cache-"))
