"""Challenges that were drawn and not yet used: a store gives each of them back once.

A challenge counts as a failure of its subject until it is used. Otherwise a thief could draw until
the prompts fit a clip that he has.
"""

from __future__ import annotations

import json
from dataclasses import astuple
from hashlib import blake2b
from typing import TYPE_CHECKING

from facauth.challenge import Challenge, draw
from facauth.settings import CHALLENGE
from facauth.store import limits

if TYPE_CHECKING:
    from facauth.records import PersonName
    from facauth.settings import AttemptLimits
    from facauth.store.clock import Clock
    from facauth.store.engine import Writer


def drawn(
    writer: Writer,
    clock: Clock,
    claimed: PersonName | None,
    subject: str | None,
    rules: AttemptLimits | None,
) -> Challenge:
    """A new challenge for this name, enrolled or not; None: for a sign-in without a name.

    subject: whose failures it counts among until it is used; None: nobody's. Raises LockedOut.
    """
    before = None
    if subject is not None and rules is not None:
        before, _ = limits.begin(writer, subject, rules, clock, failures=1)
    challenge, (now_s, boot_s) = draw(), clock.read_s()
    writer.trim_challenges(now_s - CHALLENGE.lifetime_s, CHALLENGE.max_drawn - 1)
    marks = _marks(challenge.id, claimed)
    writer.put_challenge((*marks, challenge.to_json(), _counted(before), now_s, boot_s))
    return challenge


def taken(
    writer: Writer,
    clock: Clock,
    identifier: str,
    claimed: PersonName | None,
    subject: str | None = None,
) -> Challenge | None:
    """The challenge, which is then gone; None if it is unknown, too old or of another name.

    By both clocks, so that setting one of them back does not make a challenge last longer. The
    failure as which it counted is taken back, unless a success has cleared it.
    """
    mark, name = _marks(identifier, claimed)
    row = writer.take_challenge(mark)
    if row is None:
        return None
    bound, prompts, counted, *since_s = row
    ages_s = [now_s - drawn_s for now_s, drawn_s in zip(clock.read_s(), since_s, strict=True)]
    in_time = all(0 <= age_s <= CHALLENGE.lifetime_s for age_s in ages_s)
    if not (in_time and bound == name):
        return None
    before = json.loads(counted)
    if subject is not None and before is not None:
        limits.take_back(writer, subject, limits.Tries(*before))
    return Challenge.of_json(identifier, prompts)


def _counted(before: limits.Tries | None) -> str:
    return json.dumps(before and astuple(before))


def _marks(identifier: str, claimed: PersonName | None) -> tuple[bytes, bytes]:
    """Digests of the id, and of id and name: the store tells neither who asked nor what it was."""
    key = blake2b(identifier.encode("utf-8", "replace"), digest_size=32).digest()
    name = b"" if claimed is None else claimed.key.encode()
    return blake2b(key, digest_size=16).digest(), blake2b(name, key=key, digest_size=16).digest()
