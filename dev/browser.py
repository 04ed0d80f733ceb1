"""The Chromium that browser tests drive."""

import os
import shutil

ADVICE = "No Chromium found: install it (Debian/Ubuntu: apt-get install chromium), or set CHROMIUM to the path of one."

_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Path of a Chromium to run: the one CHROMIUM names, else the first on PATH; None when there is none.

    A CHROMIUM that is no program counts as none, rather than another browser than the one asked for.
    """
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    return next((path for command in _COMMANDS if (path := shutil.which(command))), None)
