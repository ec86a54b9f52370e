"""The default places of files: in the platform's folders of this user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from facauth.errors import Reason, SetupProblem


def default_store() -> Path:
    """The platform's folder for user data, e.g. ~/.local/share/facauth/facauth.sqlite3.

    Raises SetupProblem for a user without a home.
    """
    from platformdirs import user_data_path

    folder = _folder(user_data_path)
    if folder is None:
        message = "this user has no folder for data"
        raise SetupProblem(Reason("store.no_home", message, "set HOME, or name a store"))
    return folder / "facauth.sqlite3"


def default_key_file() -> Path | None:
    """The default key file: not beside the store, so that a backup does not hold both."""
    from platformdirs import user_config_path

    folder = _folder(user_config_path)
    return folder / "facauth.key" if folder else None


def local_calibration() -> Path | None:
    """The file of the user's own calibration, which `facauth calibrate` writes."""
    from platformdirs import user_config_path

    folder = _folder(user_config_path)
    return folder / "calibration.json" if folder else None


def config_file() -> Path | None:
    """The settings file, e.g. ~/.config/facauth/config.toml."""
    from platformdirs import user_config_path

    folder = _folder(user_config_path)
    return folder / "config.toml" if folder else None


def default_token_file() -> Path | None:
    """The file of the operator's token, e.g. ~/.config/facauth/operator.token."""
    from platformdirs import user_config_path

    folder = _folder(user_config_path)
    return folder / "operator.token" if folder else None


def weight_memory() -> Path | None:
    """The file that remembers intact weights (networks.Checked)."""
    from platformdirs import user_cache_path

    folder = _folder(user_cache_path)
    return folder / "weights.json" if folder else None


def _folder(of_user: Callable[..., Path]) -> Path | None:
    """One of platformdirs' folders; None for a user without a home."""
    try:
        folder = of_user("facauth", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions take "~" for a name
