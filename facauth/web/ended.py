"""Sessions that were ended before they ran out, for every server of one operator.

A session is a sealed cookie, good in each process that has the operator's token. An empty file for
each that has ended, named by it, is seen by all of them at once, and by those that start later.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import time

from facauth import files
from facauth.errors import Reason, SetupProblem, shown


class Ended:
    """A folder of ended sessions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, session: str) -> bool:
        """Whether it has ended. Raises SetupProblem where that cannot be known.

        session: as it was sealed, `expiry.random`; never what a client made up.
        """
        try:
            os.lstat(self._folder / session)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._problem(error) from error
        return True

    def add(self, session: str) -> None:
        """From now on it has ended. Raises SetupProblem, and then it has not."""
        try:
            ended = self._folder / session
            files.make_folders(ended)
            with suppress(FileExistsError):
                files.reserve(ended)
            files.sync_folder(ended)
        except OSError as error:
            raise self._problem(error) from error
        self._forget(time())

    def _forget(self, now_s: float) -> None:
        """Those that have run out by themselves."""
        with suppress(OSError, ValueError):
            for each in self._folder.iterdir():
                if int(each.name.partition(".")[0]) <= now_s:
                    each.unlink(missing_ok=True)

    def _problem(self, error: OSError) -> SetupProblem:
        message = f"the ended sessions in {shown(self._folder)} cannot be used ({error.strerror})"
        return SetupProblem(Reason("operator.sessions", message, "check its permissions"))
