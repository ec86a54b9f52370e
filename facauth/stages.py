"""The stages of the pipeline, bound to networks; each gives pixels or numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from facauth.decision.match import Crowd, Gallery, compare
from facauth.faces.detect import sight
from facauth.faces.encode import encode
from facauth.faces.image import decode, read_image
from facauth.faces.quality import measure
from facauth.learning import Accept, Seen, learn
from facauth.settings import IMAGE
from facauth.spoof.liveness import judge as judge_liveness
from facauth.spoof.replay import judge as judge_replay
from facauth.spoof.signature import CaptureSignature, signature

if TYPE_CHECKING:
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
    decode: Callable[[str], Pixels]
    sight: Callable[[Pixels], Sighting]
    measure: Callable[[Sighting, Face], Quality]
    liveness: Callable[[Sighting, Face, Quality, SpoofPolicy], Liveness]
    encode: Callable[[Sighting, Face], Encoding]
    compare: Callable[[Encoding, Gallery | Crowd, float], Match]
    signature: Callable[[Sighting, Face], CaptureSignature]
    replay: Callable[[CaptureSignature, Sequence[CaptureSignature]], Replay]
    learn: Callable[[Store, Seen, Accept], Learned]


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
