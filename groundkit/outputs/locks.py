"""Files that one process at a time may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from groundkit.errors import ConfigError
from groundkit.outputs.atomic import os_errors_as_input_errors


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of ``path`` while the block runs. The system releases it when the process ends, however it ends.

    The lock is a hidden file in the same folder, ``.<name>.lock``. It is never removed, since another process may be
    about to lock it. Missing folders are made. On a file system without locks, nothing is locked.

    Args:
        path: what is locked.
        wait: whether to wait for another process that holds it.

    Raises:
        ConfigError: when another process holds it and ``wait`` is False.
        InputError: when the place cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=-1 if wait else 0)
    with os_errors_as_input_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with suppress(NotImplementedError):
                lock.acquire()
        except Timeout:
            raise ConfigError(
                f"{path} is being written by another run: wait for it, or give another --output"
            ) from None
    try:
        yield
    finally:
        lock.release()
