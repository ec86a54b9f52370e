"""Face sign-in from the command line that refuses photos of photos.

From Python: `from facauth import Facauth`. The names in `__all__` are the public interface, with
semantic versioning; all other modules are private. Importing this package loads nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facauth.api import Facauth as Facauth
    from facauth.errors import Attack as Attack
    from facauth.errors import Conflict as Conflict
    from facauth.errors import FacauthError as FacauthError
    from facauth.errors import LockedOut as LockedOut
    from facauth.errors import NoMatch as NoMatch
    from facauth.errors import Reason as Reason
    from facauth.errors import SetupProblem as SetupProblem
    from facauth.errors import UnusableImage as UnusableImage
    from facauth.errors import UsageProblem as UsageProblem

__version__ = "0.1.0"
__all__ = [
    "Attack",
    "Conflict",
    "Facauth",
    "FacauthError",
    "LockedOut",
    "NoMatch",
    "Reason",
    "SetupProblem",
    "UnusableImage",
    "UsageProblem",
]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'facauth' has no attribute {name!r}")
    from importlib import import_module

    module = import_module("facauth.api" if name == "Facauth" else "facauth.errors")
    globals()[name] = found = getattr(module, name)
    return found
