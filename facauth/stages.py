"""The stages of the pipeline, bound to networks; each gives pixels or numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from facauth.decision.calibration import in_force
from facauth.decision.match import Crowd, Gallery, compare, require_anybody, require_current
from facauth.faces.detect import sight
from facauth.faces.encode import encode
from facauth.faces.image import decode, read_image
from facauth.faces.quality import measure
from facauth.learning import Accept, Seen, learn
from facauth.settings import IMAGE
from facauth.spoof.liveness import judge as judge_liveness
from facauth.spoof.replay import judge as judge_replay
from facauth.spoof.signature import CaptureSignature, signature
from facauth.structs import PersonName

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.networks import Networks
    from facauth.records.store import Store
    from facauth.settings import SpoofPolicy
    from facauth.structs import (
        Encoding,
        Face,
        Learned,
        Liveness,
        Match,
        Pixels,
        Quality,
        Replay,
        Sighting,
    )
    from facauth.trace import Trace


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages, bound to networks and watched by a trace; tests bind others."""

    contract: Callable[[], str]
    calibration: Callable[[], Calibration]  # read anew at each call: once in a command
    decode: Callable[[str], Pixels]
    sight: Callable[[Pixels], Sighting]
    measure: Callable[[Sighting, Face], Quality]
    liveness: Callable[[Sighting, Face, Quality, SpoofPolicy], Liveness]
    encode: Callable[[Sighting, Face], Encoding]
    compare: Callable[[Encoding, Gallery | Crowd, float, Calibration], Match]
    signature: Callable[[Sighting, Face], CaptureSignature]
    replay: Callable[[CaptureSignature, Sequence[CaptureSignature]], Replay]
    learn: Callable[[Store, Seen, Accept, Calibration], Learned]


def bind(
    networks: Networks,
    trace: Trace,
    read: Callable[[str], bytes] = read_image,
    *,
    max_pixels: int = IMAGE.max_pixels,
) -> Stages:
    """The real stages.

    read: gives the bytes of the image of a name; without it names are paths.
    max_pixels: of a photo; see decode.
    """
    return Stages(
        contract=lambda: networks.contract,
        calibration=lambda: in_force().calibration,
        decode=trace.watch("decode", lambda image: decode(read(image), image, max_pixels)),
        sight=trace.watch("detect", lambda pixels: sight(pixels, networks.detector)),
        measure=trace.watch("quality", measure),
        liveness=trace.watch("liveness", partial(judge_liveness, networks=networks)),
        encode=trace.watch("encode", partial(encode, networks=networks)),
        compare=trace.watch("match", compare),
        signature=trace.watch("signature", lambda seen, face: signature(seen.pixels, face)),
        replay=trace.watch("replay", judge_replay),
        learn=trace.watch("learn", learn),
    )


def people(store: Store, contract: str, claimed: str | None) -> Gallery | Crowd:
    """Whom to compare with: everybody, or the claimed person."""
    if claimed is None and (blocks := store.blocks(contract, Gallery.of)):
        return Crowd(blocks.people, blocks, partial(store.encodings_of, contract))
    name = None if claimed is None else store.known_as(PersonName.parse(claimed))
    gallery = Gallery.of(store.encodings(contract, name))
    if name is not None:
        require_current(gallery, name)
    require_anybody(gallery, store.path)
    return gallery
