"""A face that follows a challenge over HTTP, frame by frame."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import httpx
from actor import can_follow, poses
from PIL import Image
from serving import Served

if TYPE_CHECKING:
    from facauth.networks import Networks

Act = Callable[[dict[str, Any] | None], tuple[list[bytes], str]]
FRAME_S = 0.125


def actor(networks: Networks) -> Act:
    """Makes frames of a face that follows a challenge, and their times; None: it sits still."""
    shown_as = poses(networks)

    def frames(challenge: dict[str, Any] | None) -> tuple[list[bytes], str]:
        length_s = challenge["length_s"] if challenge else 6
        times = [round(number * FRAME_S, 3) for number in range(int(length_s / FRAME_S) + 1)]
        shown = [shown_as[action_at(challenge, time)] for time in times]
        return shaken(shown), ",".join(str(round(time * 1000)) for time in times)

    return frames


def action_at(challenge: dict[str, Any] | None, time_s: float) -> str:
    """What a person does who needs a moment, and goes back in time."""
    for prompt in challenge["prompts"] if challenge else ():
        if prompt["from_s"] + 0.3 <= time_s <= prompt["to_s"] - 0.2:
            return str(prompt["action"])
    return ""


def shaken(pictures: Sequence[Image.Image]) -> list[bytes]:
    """JPEGs, each a little elsewhere: no hand holds a camera still."""
    dice, jpegs = random.Random(1), []
    for picture in pictures:
        left, top = dice.choice([(0, 0), (1, 0), (2, 1), (1, 2), (0, 1)])
        wider = picture.resize((picture.width + 2, picture.height + 2))
        made = io.BytesIO()
        wider.crop((left, top, left + picture.width, top + picture.height)).save(
            made, "JPEG", quality=80
        )
        jpegs.append(made.getvalue())
    return jpegs


def drawn(server: Served, **fields: str) -> dict[str, Any]:
    """A challenge that the actor can follow."""
    while True:
        answer = server.call("POST", "/challenge/", data=fields or {"name": ""})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["challenge"]
        if can_follow({prompt["action"] for prompt in found["prompts"]}):
            return found


def send(server: Served, frames: Sequence[bytes], times_ms: str, **fields: str) -> httpx.Response:
    files = [("frame", (f"{number}.jpg", frame)) for number, frame in enumerate(frames)]
    return server.call("POST", "/sign-in/", data={"times_ms": times_ms, **fields}, files=files)
