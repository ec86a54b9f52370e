"""Sessions that were ended before they expired, for every server of one operator.

A session is a sealed cookie that every server of the operator accepts. An ended session is an empty
file, named by the session: servers that run see it at once, and so do servers that start later.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import time

from facauth import files
from facauth.errors import Reason, SetupProblem, shown


class EndedSessions:
    """A folder with one empty file for each ended session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, session: str) -> bool:
        """Whether the session has ended. Raises SetupProblem if the folder cannot be read.

        session: `expiry.random` of a cookie with a right seal; never text that a client made up.
        """
        try:
            os.lstat(self._folder / session)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._problem(error) from error
        return True

    def add(self, session: str) -> None:
        """End the session. Raises SetupProblem, and then it has not ended."""
        try:
            ended = self._folder / session
            files.make_folders(ended)
            with suppress(FileExistsError):
                files.reserve(ended)
            files.sync_folder(ended)
        except OSError as error:
            raise self._problem(error) from error
        self._forget_expired(time())

    def _forget_expired(self, now_s: float) -> None:
        with suppress(OSError, ValueError):
            for file in self._folder.iterdir():
                if int(file.name.partition(".")[0]) <= now_s:
                    file.unlink(missing_ok=True)

    def _problem(self, error: OSError) -> SetupProblem:
        message = f"the ended sessions in {shown(self._folder)} cannot be used ({error.strerror})"
        return SetupProblem(Reason("operator.sessions", message, "check its permissions"))
