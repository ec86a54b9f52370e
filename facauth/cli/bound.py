"""The store, key, stages and settings of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facauth.cli.options import Call, PolicyName
from facauth.cli.passphrase import Passphrase
from facauth.cli.settings_file import configuration
from facauth.cli.spinner import spinning
from facauth.cli.wrong import near_names
from facauth.defaults import default_key_file, default_store, weight_memory
from facauth.errors import Conflict

if TYPE_CHECKING:
    from facauth.admin import KeyAccess, Store
    from facauth.decision.calibration import Calibration
    from facauth.envelope import Answer
    from facauth.places import Place
    from facauth.settings import SpoofPolicy
    from facauth.system import Stages, System

LIVENESS = ("live_2_7", "live_4_0")
ENCODERS = ("landmarks", "encode_dlib", "encode_sface", "encode_sface_last")


def real_stages(*needs: str) -> Stages:
    """The pipeline's stages on the weights that came with the package.

    needs: networks to load ahead, in the order of their use.
    """
    from facauth.networks import Checked, Networks

    networks = Networks(Checked(weight_memory()))
    networks.load_ahead(*needs)
    from facauth.system import bind  # while the encoders load

    return bind(networks)


# Returns the stages of this program's commands; tests set another function.
binding: ContextVar[Callable[..., Stages]] = ContextVar("binding", default=real_stages)


def stages(*needs: str) -> Stages:
    """The stages that commands run with; needs: as for real_stages."""
    return binding.get()(*needs)


def ready(*needs: str) -> tuple[Stages, Calibration]:
    """The stages and the calibration in force. Call it before a file is read or a store is created.

    Raises SetupProblem for a damaged calibration.
    """
    pipeline_stages = stages(*needs)
    return pipeline_stages, pipeline_stages.calibration()


@contextmanager
def bound(call: Call, answer: Answer, *needs: str, create: bool = False) -> Iterator[System]:
    """Stages and unlocked store; the networks load while the store is opened."""
    pipeline_stages, calibration = ready(*needs)
    from facauth.system import System

    with (
        unlocked(call, answer, create=create) as store,
        spinning("working", wanted=call.shows_progress),
    ):
        yield System(pipeline_stages, store, calibration)


@contextmanager
def opened(call: Call, answer: Answer) -> Iterator[Store]:
    """The store for a command that needs no key, with a note if others may change or read it."""
    from facauth import admin

    with admin.opened(store_path(call)) as store, suggesting(store):
        answer.notes += store.warnings
        yield store


@contextmanager
def unlocked(call: Call, answer: Answer, *, create: bool = False) -> Iterator[Store]:
    """The store for a command that needs the key of an encrypted store.

    Raises SetupProblem without the key.
    """
    from facauth import admin  # while networks are loaded, if there are any

    path, keys = store_path(call), key_access(call)
    with admin.opened(path, keys, create=create) as store, suggesting(store):
        answer.notes += store.warnings
        admin.require_key(store)
        yield store


@contextmanager
def suggesting(store: Store) -> Iterator[None]:
    """Add names that are near to a name that nobody has to its refusal."""
    try:
        yield
    except Conflict as refusal:
        (reason, *others) = refusal.reasons
        asked = reason.message.removeprefix("nobody is enrolled as ")
        if reason.code == "name.unknown" and (advice := near_names(asked, store.people())):
            refusal.reasons = (replace(reason, advice=advice), *others)
        raise


def store_path(call: Call) -> Place:
    """Where the store is: by flag, environment, settings or default."""
    return call.store or configuration().store or default_store()


def named_key_file(call: Call) -> Path | None:
    """The key file that a flag, the environment or the settings name."""
    return call.key_file or configuration().key_file


def key_access(call: Call) -> KeyAccess:
    """Where the key of an encrypted store may come from."""
    from facauth.admin import KeyAccess

    return KeyAccess(named_key_file(call), default_key_file(), Passphrase())


def rate_of(given: float | None) -> float | None:
    """The false match rate of the flag, the environment or the settings; None: the default."""
    return configuration().fmr if given is None else given


def policy_of(given: PolicyName | None) -> SpoofPolicy:
    """The spoof policy of the flag, else of the settings, else the default.

    No flag lifts the setting that signing in takes a camera.
    """
    from facauth.settings import DEFAULT, POLICIES

    found = configuration()
    policy = POLICIES[given] if given else found.spoof_policy or DEFAULT
    return policy._replace(challenge_required=policy.challenge_required or found.camera is True)
