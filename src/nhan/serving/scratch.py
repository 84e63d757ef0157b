"""A folder for as long as a server lives, and the end of those whose server is gone.

Whoever is killed removes nothing, and its models would lie about for ever. The kernel drops the
lock that a living server holds on its folder, whatever ends it; so a folder that can be locked is
nobody's. What also clears temporary folders by their age (systemd-tmpfiles) minds the lock too.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

log = logging.getLogger("nhan.serving")

PREFIX = "nhan-serve-"
# Nothing without it is removed: somebody may keep a folder `nhan-serve-logs` there. It is written
# once the lock is held, so that no folder is taken for left between its making and its locking.
_MARK = ".made-by-nhan-serve"
_FILES = "files"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty private folder below `parent`, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    (folder / _FILES).mkdir()
    # Closed in whatever the server starts; only its own death may end the lock.
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks: nobody will know that it is left
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / _MARK).touch()
        yield folder / _FILES
    finally:
        _remove(folder)
        os.close(held)


def remove_left_folders(parent: Path) -> None:
    """Remove the folders of servers that are gone; ours, by owner and mark, and nothing else."""
    removed = 0
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, another user's, no folder, or not one of these
            removed += _remove_if_left(folder)
    if removed:
        log.info("removed the folders of %d servers that were killed", removed)


def begin_removing_left_folders(parent: Path) -> Thread:
    """The same, while everything else goes on; the end of the process need not wait for it."""
    thread = Thread(target=remove_left_folders, args=(parent,), name="left-folders", daemon=True)
    thread.start()
    return thread


def _remove_if_left(folder: Path) -> bool:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.stat(_MARK, dir_fd=held, follow_symlinks=False)
        if os.fstat(held).st_uid != os.geteuid():
            return False
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder)
        return True
    finally:
        os.close(held)


def _remove(folder: Path) -> None:
    # The mark goes last: what is killed half-way is still known as left.
    shutil.rmtree(folder / _FILES, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
