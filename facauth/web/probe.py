"""What a client sends to be looked at: a file, or the frames that a page took with a camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from facauth import system
from facauth.errors import UsageProblem
from facauth.web.refusals import malformed, too_large

if TYPE_CHECKING:
    from facauth.networks import Networks
    from facauth.system import Stages
    from facauth.web.site import WebLimits

MAX_FRAME_PIXELS = 2_000_000  # the page sends a third of it; a small JPEG can have far more
DIGITS = 5  # of a time in milliseconds; WebLimits.max_frames_ms has as many


@dataclass(frozen=True, slots=True)
class Frames:
    """JPEG frames of one camera, each with its time since the first one."""

    jpegs: tuple[bytes, ...] = field(repr=False)
    times_s: tuple[float, ...]

    @classmethod
    def parse(cls, jpegs: Sequence[bytes], times_ms: str, limits: WebLimits) -> Self:
        """The frames of a form and their times, "0,125,250". Raises UsageProblem, TooLarge."""
        if len(jpegs) > limits.max_frames:
            raise _bad_frames(f"the form has more than {limits.max_frames} frames")
        if max(map(len, jpegs)) > limits.max_frame_bytes:
            raise too_large(limits.max_frame_bytes)
        if sum(map(len, jpegs)) > limits.max_frames_bytes:
            raise too_large(limits.max_frames_bytes)
        if not all(jpegs):
            raise _bad_frames("a frame is empty")
        times = [_ms(text) for text in times_ms.split(",")]
        if len(times) != len(jpegs):
            raise _bad_times()
        rising = all(before < after for before, after in pairwise(times))
        if times[0] != 0 or not rising or times[-1] > limits.max_frames_ms:
            raise _bad_times()
        return cls(tuple(jpegs), tuple(time / 1000 for time in times))


Probe = bytes | Frames  # a photo or a clip as it was uploaded, or frames


def _ms(text: str) -> int:
    """Whole milliseconds in ASCII digits; int() alone takes "1_0", " 1" and other digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise _bad_times()
    return int(text)


def _bad_frames(message: str) -> UsageProblem:
    return malformed(message, "send frames as the page does")


def _bad_times() -> UsageProblem:
    return _bad_frames("times_ms is not one rising time for each frame, from 0 to 30000")


def bind(networks: Networks, probes: Mapping[str, Probe], *, max_pixels: int) -> Stages:
    """The real stages on these probes, which the stages then know by their names."""
    bound = {name: _bind(networks, probe, max_pixels) for name, probe in probes.items()}
    first = next(iter(bound.values()), None) or _bind(networks, b"", max_pixels)
    return replace(
        first,
        film=lambda name: bound[name].film(name),
        decode=lambda name: bound[name].decode(name),
    )


def _bind(networks: Networks, probe: Probe, max_pixels: int) -> Stages:
    if isinstance(probe, Frames):
        times_s, limit = probe.times_s, min(max_pixels, MAX_FRAME_PIXELS)
        return system.bind_frames(networks, probe.jpegs, times_s, max_pixels=limit)
    return system.bind_photo(networks, probe, max_pixels=max_pixels)
