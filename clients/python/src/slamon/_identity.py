"""The agent's id, kept in a file: a restarted agent is the same agent."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import UUID, uuid4


class IdentityError(Exception):
    """The id of an agent cannot be read, or another agent uses it."""


class Identity:
    """An id, and the lock on its file that keeps a second agent from using it."""

    def __init__(self, path: Path) -> None:
        """Read the id, and make a new one where the file does not exist or is empty."""
        if sys.platform == "win32":
            raise IdentityError("id files need flock, which Windows does not have")
        import fcntl  # noqa: PLC0415, there is none on Windows

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise IdentityError(f"could not open the id file {path}: {problem.strerror}") from None
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise IdentityError(
                    f"another agent runs with the id file {path}: give this one an id file of its own"
                ) from None
            self.id = self._read(path)
        except OSError as problem:
            self.close()
            raise IdentityError(f"could not read or write the id file {path}: {problem.strerror}") from None
        except BaseException:
            self.close()
            raise

    def _read(self, path: Path) -> str:
        text = os.read(self._file, 1_000).strip()
        if not text:
            new = str(uuid4())
            # All of it is written at once; what a crash leaves is an empty file, which is as good as none.
            os.pwrite(self._file, f"{new}\n".encode(), 0)
            os.fsync(self._file)
            return new
        try:
            found = UUID(text.decode("ascii"))
        except ValueError:
            found = None
        # UUID takes other forms, too.
        if found is None or str(found) != text.decode("ascii").lower():
            raise IdentityError(f"the id file {path} holds no UUID: correct it, or remove it to get a new id")
        return str(found)

    def close(self) -> None:
        """Let others use the id."""
        os.close(self._file)
