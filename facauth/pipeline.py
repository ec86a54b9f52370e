"""What each command does, one line a stage. Start reading here.

    read -> decode -> sight -> only_face -> quality -> liveness -> encode -> match

A stage returns numbers or pixels; a `require_…` beside it is the only place that says no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from facauth.decision.enrolment import require_nobody_else, require_one_person, require_same_person
from facauth.decision.match import Gallery, compare, require_match
from facauth.errors import ExitCode, FacauthError, NoMatch, Reason, shown
from facauth.faces.detect import only_face, sight
from facauth.faces.encode import encode
from facauth.faces.image import decode, read_image
from facauth.faces.quality import measure, require_quality
from facauth.records.store import unknown
from facauth.settings import ENROLMENT_QUALITY, RATES, SIGN_IN_QUALITY
from facauth.spoof.liveness import judge, require_live
from facauth.structs import Encoding, Face, Liveness, Match, PersonName, Quality, Sighting

if TYPE_CHECKING:
    from facauth.networks import Networks
    from facauth.records.store import Store
    from facauth.structs import Pixels
    from facauth.trace import Trace


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages, bound to networks and watched by a trace; tests bind others."""

    contract: Callable[[], str]
    decode: Callable[[str], Pixels]
    sight: Callable[[Pixels], Sighting]
    measure: Callable[[Sighting, Face], Quality]
    liveness: Callable[[Sighting, Face, Quality], Liveness]
    encode: Callable[[Sighting, Face], Encoding]
    compare: Callable[[Encoding, Gallery, float], Match]


def bind(networks: Networks, trace: Trace) -> Stages:
    """The real stages."""
    return Stages(
        contract=lambda: networks.contract,
        decode=trace.watch("decode", lambda image: decode(read_image(image), image)),
        sight=trace.watch("detect", lambda pixels: sight(pixels, networks.detector)),
        measure=trace.watch("quality", measure),
        liveness=trace.watch("liveness", partial(judge, networks=networks)),
        encode=trace.watch("encode", partial(encode, networks=networks)),
        compare=trace.watch("match", compare),
    )


def sign_in(
    stages: Stages,
    store: Store,
    image: str,
    claimed: str | None = None,
    *,
    largest: bool = False,
    skip_liveness: bool = False,
) -> Match:
    """Who is in the image (or: is it `claimed`?). Returns only if every stage agreed."""
    with recorded(store, "sign-in"):
        pixels = stages.decode(image)
        gallery = require_people(store, stages.contract(), claimed)
        sighting = stages.sight(pixels)
        face = only_face(sighting, largest=largest)
        quality = stages.measure(sighting, face)
        require_quality(quality, SIGN_IN_QUALITY)
        if not skip_liveness:
            require_live(stages.liveness(sighting, face, quality))
        probe = stages.encode(sighting, face)
        match = stages.compare(probe, gallery, fmr_of_each(claimed, gallery))
        require_match(match, claimed=claimed is not None)
        store.log("sign-in", "signed_in", name=match.person)
        return match


def register(
    stages: Stages,
    store: Store,
    name: PersonName,
    images: Sequence[str],
    *,
    largest: bool = False,
    replace: bool = False,
    allow_duplicate: bool = False,
) -> tuple[str, int]:
    """Enrol every image of one person, or none; the name, and how many templates it then has."""
    with recorded(store, "register"):
        encodings = [enrolment_encoding(stages, image, largest=largest) for image in images]
        require_one_person(encodings)
        with store.transaction():
            enrolled = Gallery.of(store.encodings(stages.contract()))
            known_as = store.find(name)
            if known_as and not replace:
                require_same_person(encodings, enrolled.only(known_as), known_as)
            if not allow_duplicate:
                require_nobody_else(encodings, enrolled.without(known_as))
            if replace:
                store.delete_templates(name)
            photos = store.add(name, stages.contract(), [each.as_bytes() for each in encodings])
            store.log("register", "registered", name=known_as or name.text)
        if replace:
            store.scrub()
        return known_as or name.text, photos


def check_liveness(stages: Stages, image: str, *, largest: bool = False) -> Liveness:
    """Live, attack or cannot judge; raises only where there is no face to speak of."""
    sighting = stages.sight(stages.decode(image))
    face = only_face(sighting, largest=largest)
    return stages.liveness(sighting, face, stages.measure(sighting, face))


def remove(store: Store, name: PersonName) -> None:
    """Delete a person so that no byte of the encodings stays in the store."""
    with store.transaction():
        store.remove(name)
        store.log("remove", "removed")
    store.scrub()


def rename(store: Store, old: PersonName, new: PersonName) -> None:
    """Give a person another name; photos and history stay."""
    with store.transaction():
        store.rename(old, new)
        store.log("rename", "renamed", name=new.text)


def enrolment_encoding(stages: Stages, image: str, *, largest: bool) -> Encoding:
    """The encoding of one photo that is good enough to be compared with for years."""
    sighting = stages.sight(stages.decode(image))
    face = only_face(sighting, largest=largest)
    require_quality(stages.measure(sighting, face), ENROLMENT_QUALITY)
    return stages.encode(sighting, face)


def require_people(store: Store, contract: str, claimed: str | None) -> Gallery:
    """Whom to compare with: everybody, or the claimed person."""
    gallery = Gallery.of(store.encodings(contract))
    if claimed is not None:
        gallery = gallery.only(require_known(store, PersonName.parse(claimed)))
    if not gallery.names:
        raise NoMatch(
            Reason(
                "match.nobody_enrolled",
                f"nobody with a current photo is enrolled in {shown(store.path)}",
                "facauth register NAME IMAGE",
            )
        )
    return gallery


def fmr_of_each(claimed: str | None, gallery: Gallery) -> float:
    """The false match rate of each comparison that keeps the rate of the whole sign-in."""
    return RATES.identify_fpir / len(gallery.names) if claimed is None else RATES.verify_fmr


@contextmanager
def recorded(store: Store, command: str) -> Iterator[None]:
    """Every refusal becomes an event before it goes on its way."""
    try:
        yield
    except FacauthError as refusal:
        if refusal.exit_code not in (ExitCode.USAGE, ExitCode.SETUP):
            store.log(command, refusal.verdict, refusal.reasons[0].code)
        raise


def require_known(store: Store, name: PersonName) -> str:
    """The name as it was enrolled; raises Conflict if nobody has it."""
    known_as = store.find(name)
    if known_as is None:
        raise unknown(name)
    return known_as
