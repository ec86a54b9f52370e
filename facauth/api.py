"""The Python interface: one object that registers, signs in, searches and compares.

    from facauth import Facauth

    faces = Facauth("people.sqlite3")
    faces.register("Ada", "monday.jpg", "friday.jpg")
    print(faces.sign_in("now.jpg").person)

Only `sign_in` authenticates: it returns if the person is accepted, and raises otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from facauth import admin
from facauth.defaults import default_key_file, default_store, weight_memory
from facauth.errors import Reason, UsageProblem, shown
from facauth.places import place_of
from facauth.records import Consent, PersonName, PersonRow
from facauth.settings import DEFAULT, POLICIES, SpoofPolicy, asked_rate
from facauth.structs import EnrolmentTerms, Terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facauth.challenge import Challenge
    from facauth.evidence import Checked, Registered, SignedIn
    from facauth.networks import Networks
    from facauth.search import Compared, Found
    from facauth.stages import Stages
    from facauth.system import System

    # A path, the bytes of an image file, or RGB pixels (height, width, 3).
    Photo = str | os.PathLike[str] | bytes | NDArray[np.uint8]

UNNAMED = "photo "  # begins the name of a photo that is no path


class Facauth:
    """A store of people, and the networks. The networks are loaded at their first use.

    store: the file; default: the same as that of the command line. It is created by `register`.
    key_file: of an encrypted store; default: the one that `facauth key init` writes.
    passphrase: returns the passphrase of a store that has one.
    policy: "default", "strict", "lenient" or "camera"; how doubts about liveness count.

    Several threads may use one object; they take turns. A refusal is raised as one of the
    exceptions of this package; `reasons` of it holds stable codes.

    >>> from facauth import Facauth, NoMatch
    >>> faces = Facauth(store)
    >>> faces.register("Barack Obama", sample("obama_2009.jpg")).photos
    1
    >>> faces.sign_in(sample("obama_2012.jpg")).person
    'Barack Obama'
    >>> try:
    ...     faces.sign_in(sample("biden_2010.jpg"))
    ... except NoMatch as refusal:
    ...     print(refusal.reasons[0].code)
    match.none
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        key_file: str | os.PathLike[str] | None = None,
        passphrase: Callable[[], str] | None = None,
        policy: str = DEFAULT.name,
    ) -> None:
        self._place = default_store() if store is None else place_of(os.fspath(store))
        self._keys = admin.KeyAccess(
            Path(key_file) if key_file is not None else None,
            default_key_file(),
            (lambda _: passphrase()) if passphrase else None,
        )
        self._policy = _policy(policy)
        self._turn, self._networks = Lock(), _networks()
        self._memory: dict[int, Any] = {}

    # --- people ----------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        *photos: Photo,
        replace: bool = False,
        allow_duplicate: bool = False,
        accept_spoof: bool = False,
        keep_signatures: bool = True,
        consent: str | None = None,
        purpose: str | None = None,
    ) -> Registered:
        """Enrol all photos of one person, or none; the options are those of `facauth register`.

        Raises UnusableImage, Attack, Conflict, UsageProblem, SetupProblem.
        """
        from facauth import pipeline

        if not photos:
            raise UsageProblem(Reason("usage", "there is no photo", "give one or more photos"))
        person, agreed = PersonName.parse(name), Consent.parse(consent, purpose)
        asked = EnrolmentTerms(
            self._policy,
            replace=replace,
            allow_duplicate=allow_duplicate,
            accept_spoof=accept_spoof,
            keep_signatures=keep_signatures,
            consent=agreed,
        )
        with self._system(photos, create=True) as (system, names):
            return pipeline.register(system, person, names, asked)

    def people(self) -> list[PersonRow]:
        """All enrolled people, by name."""
        with self._turn, admin.opened(self._place, self._keys) as store:
            return admin.people(store)

    def remove(self, name: str) -> str:
        """Delete a person and everything derived from their photos; returns the enrolled name.

        Raises Conflict for an unknown name.
        """
        with self._turn, admin.opened(self._place, self._keys) as store:
            (removed,) = admin.remove(store, PersonName.parse(name))
        self._memory.clear()  # it holds the person's mean encoding
        return removed

    # --- signing in ------------------------------------------------------------------------------

    def sign_in(
        self,
        *photos: Photo,
        name: str | None = None,
        rate: float | None = None,
        learn: bool = False,
        challenge: str | None = None,
    ) -> SignedIn:
        """Authenticate the person in a photo, a clip or several photos, of which each must pass.

        It returns only if every check passes. name: compare with this person only. rate: the share
        of strangers that may pass; default: 1e-4 with a name, 1e-3 without. learn: keep the photo
        if nothing about it is in doubt. challenge: the id of the one that the clip answers.
        Raises NoMatch, Attack, UnusableImage, LockedOut, Conflict, UsageProblem, SetupProblem.
        """
        from facauth import pipeline

        if not photos:
            raise UsageProblem(Reason("usage", "there is no photo", "give one or more photos"))
        asked = Terms.of(rate, name, self._policy, learn=learn, challenge=challenge)
        with self._system(photos) as (system, names):
            return pipeline.sign_in(system, names, asked)

    def challenge(self, name: str | None = None) -> Challenge:
        """Two movements to ask for, for one sign-in with this name; see `facauth challenge`.

        Raises UsageProblem, SetupProblem.
        """
        with self._turn, admin.opened(self._place, self._keys) as store:
            return store.draw_challenge(name)

    def spoof_check(self, photo: Photo, against: str | None = None) -> Checked:
        """The liveness check of a sign-in; with `against`, the replay check too.

        Read `verdict`: "live", "attack" or "cannot_judge". Raises UnusableImage without a usable
        face, Conflict for an unknown name.
        """
        from facauth import pipeline

        enrolled = None
        if against is not None:
            with self._turn, admin.opened(self._place, self._keys) as store:
                enrolled = admin.signatures(store, PersonName.parse(against))
        with self._stages([photo]) as (stages, (source,)):
            return pipeline.spoof_check(stages, source, self._policy, enrolled)

    # --- searching, which authenticates nobody ---------------------------------------------------

    def identify(self, picture: Photo, *, rate: float | None = None) -> list[Found]:
        """Who each face of a picture shows, the largest face first. This authenticates nobody.

        `person` of a face is None for nobody. Liveness is not checked. rate: the share of
        strangers' faces that may be taken for somebody; default: 1e-3. Raises NoMatch if nobody is
        enrolled, UnusableImage, UsageProblem, SetupProblem.
        """
        from facauth.search import Known, See

        asked = asked_rate(rate, claimed=False)
        with self._system([picture]) as (system, (source,)):
            known, seen = Known(system, asked), See(lambda: system.stages)(source)
            if seen.refusal:
                raise seen.refusal
            return [known.who(face) for face in seen.faces]

    def compare(self, one: Photo, other: Photo, *, rate: float | None = None) -> Compared:
        """Whether two photos show one person. This authenticates nobody, and needs no store.

        rate: the share of pairs of strangers that may pass for one person; default: 1e-4. Raises
        UnusableImage, UsageProblem.
        """
        from facauth import search

        asked = asked_rate(rate, claimed=True)
        with self._stages([one, other]) as (stages, names):
            return search.compare(stages, names, asked)

    # --- binding ---------------------------------------------------------------------------------

    @contextmanager
    def _stages(self, photos: Sequence[Photo]) -> Iterator[tuple[Stages, list[str]]]:
        """The stages on these photos, and the names by which they read them."""
        from facauth.faces.folder import is_folder
        from facauth.faces.image import read_image
        from facauth.system import bind

        content, names = dict[str, bytes](), list[str]()
        for number, photo in enumerate(photos, start=1):
            if isinstance(photo, str | os.PathLike):
                path = os.fspath(photo)
                ours = path == "-" or path.startswith(UNNAMED)  # stdin, or photos without a path
                names.append(f"./{path}" if ours else path)
            else:
                names.append(f"{UNNAMED}{number}")
                content[names[-1]] = photo if isinstance(photo, bytes) else _file_of(photo)

        def read(name: str) -> bytes:
            return content[name] if name in content else read_image(name)

        with self._turn:
            folders = lambda name: name not in content and is_folder(name)  # noqa: E731
            yield bind(self._networks, read, folders=folders), names

    @contextmanager
    def _system(
        self, photos: Sequence[Photo], *, create: bool = False
    ) -> Iterator[tuple[System, list[str]]]:
        """The stages and the store, which is open for this call alone."""
        from facauth.system import System

        with (
            self._stages(photos) as (stages, names),
            admin.opened(self._place, self._keys, create=create) as store,
        ):
            admin.require_key(store)
            store.memory = self._memory
            yield System.of(stages, store), names


def _networks() -> Networks:
    from facauth.networks import Checked, Networks

    return Networks(Checked(weight_memory()))


def _policy(name: str) -> SpoofPolicy:
    if name not in POLICIES:
        message = f"there is no policy {shown(name)}"
        raise UsageProblem(Reason("usage", message, f"give one of {', '.join(POLICIES)}"))
    return POLICIES[name]


def _file_of(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as an image file, without loss. Raises UsageProblem for another array."""
    from facauth.explain import png

    if pixels.ndim != 3 or pixels.shape[2] != 3 or str(pixels.dtype) != "uint8":
        message = f"an array of shape {pixels.shape} and type {pixels.dtype} is no photo"
        advice = "give RGB pixels (height, width, 3) of type uint8"
        raise UsageProblem(Reason("image.not_pixels", message, advice))
    return png(pixels)
