"""Challenges that were drawn and not yet used: a store gives each of them back once."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from facauth.challenge import Challenge, draw
from facauth.settings import CHALLENGE

if TYPE_CHECKING:
    from facauth.store.clock import Clock
    from facauth.store.engine import Writer
    from facauth.structs import PersonName


def drawn(writer: Writer, clock: Clock, claimed: PersonName | None) -> Challenge:
    """A new challenge for this name, enrolled or not; None: for a sign-in without a name."""
    challenge, (now_s, boot_s) = draw(), clock.read_s()
    writer.trim_challenges(now_s - CHALLENGE.lifetime_s, CHALLENGE.max_drawn - 1)
    marks = _marks(challenge.id, claimed)
    writer.put_challenge((*marks, challenge.to_json(), now_s, boot_s))
    return challenge


def taken(
    writer: Writer, clock: Clock, identifier: str, claimed: PersonName | None
) -> Challenge | None:
    """The challenge, which is then gone; None if it is unknown, too old or of another name.

    By both clocks, so that setting one of them back does not make a challenge last longer.
    """
    mark, name = _marks(identifier, claimed)
    row = writer.take_challenge(mark)
    if row is None:
        return None
    bound, prompts, *since_s = row
    ages_s = [now_s - drawn_s for now_s, drawn_s in zip(clock.read_s(), since_s, strict=True)]
    in_time = all(0 <= age_s <= CHALLENGE.lifetime_s for age_s in ages_s)
    return Challenge.of_json(identifier, prompts) if in_time and bound == name else None


def _marks(identifier: str, claimed: PersonName | None) -> tuple[bytes, bytes]:
    """Digests of the id, and of id and name: the store tells neither who asked nor what it was."""
    key = blake2b(identifier.encode("utf-8", "replace"), digest_size=32).digest()
    name = b"" if claimed is None else claimed.key.encode()
    return blake2b(key, digest_size=16).digest(), blake2b(name, key=key, digest_size=16).digest()
