"""Temporary files: in a folder of the process's own, deleted in time, gone however the process ends."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX = "faceinpaint-"


@contextlib.contextmanager
def own_folder(parent):
    """Make a new folder in `parent`, yield its `Path`, and delete it in the end.

    First, the folders are deleted that killed processes left in `parent`; those of running ones stay. Windows
    cannot tell these apart, so there killed processes' folders stay too.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # Another process that starts now must not take a folder that is not locked yet for a killed one's.
        with _locked(parent, wait=True) if fcntl else contextlib.nullcontext():
            for other in parent.glob(PREFIX + "*"):
                with contextlib.suppress(OSError), _locked(other):
                    shutil.rmtree(other, ignore_errors=True)
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
            )
            if fcntl:
                stack.enter_context(_locked(folder))
        yield Path(folder)


def delete_old_files(folder, age, interval):
    """From now on delete the files in `folder` that get older than `age`, those that are there now excepted.

    Args:
        folder: looked through with the folders in it, every `interval`; those that are empty go, too.
        age: seconds since a file was last written or moved here.
        interval: seconds.
    """
    kept = set(Path(folder).rglob("*"))

    def look_through():
        while True:
            time.sleep(interval)
            with contextlib.suppress(OSError):  # a folder went while it was looked through
                for path in set(Path(folder).rglob("*")) - kept:
                    with contextlib.suppress(OSError):  # deleted by somebody else
                        if time.time() - path.stat().st_ctime > age:
                            # A folder is not removed, as it should be, while there are files in it.
                            path.rmdir() if path.is_dir() else path.unlink()

    threading.Thread(target=look_through, daemon=True).start()


@contextlib.contextmanager
def _locked(folder, wait=False):
    """Hold a folder's lock, which the system releases when the process ends.

    Where another process holds it, wait for it (`wait`), or raise OSError.
    """
    if fcntl is None:
        raise OSError("no locks on folders")
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
