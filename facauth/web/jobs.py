"""The jobs of the workers: each reads its form, opens the store and calls the pipeline or admin."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from typing import Any

from facauth import admin, pipeline
from facauth.envelope import Answer, doubted
from facauth.errors import Conflict, NoMatch, Reason, UnusableImage
from facauth.evidence import evidence_of
from facauth.records import Consent, PersonName
from facauth.settings import ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.structs import EnrolmentTerms, Terms
from facauth.system import System
from facauth.web.answers import Reply, reply_to
from facauth.web.form import Form
from facauth.web.position import position_of
from facauth.web.probe import Probe
from facauth.web.refusals import SIGN_IN_STATUS, malformed
from facauth.web.results import require_state
from facauth.web.site import Site
from facauth.web.workers import Bind

PHOTO = "upload"  # the name of the photo in messages
SHOWN_EVENTS, SHOWN_PEOPLE = 100, 200  # on the page of the operator
LIMITS = {"sign-in": SIGN_IN_QUALITY, "register": ENROLMENT_QUALITY}


class HeldKeys(admin.KeyAccess):
    """Derives the key of a passphrase once: that takes a third of a second and 128 MB."""

    def kek(self, lock: admin.Lock) -> bytes:
        """As KeyAccess.kek."""
        return _kek(self, lock)


@lru_cache(maxsize=4)
def _kek(access: HeldKeys, lock: admin.Lock) -> bytes:
    return admin.KeyAccess.kek(access, lock)


def sign_in(site: Site, bind: Bind, form: Form) -> Reply:
    """Identify the person in the photo, or verify the claimed name."""

    def job(answer: Answer) -> None:
        answer.more["retry_after_s"] = None
        claimed = form.text("name")
        state = require_state(form.text("state"))
        terms = Terms.of(site.rate, claimed, site.policy, challenge=form.text("challenge"))
        stages = bind({PHOTO: form.probe(site.limits)})
        with admin.opened(site.store, site.keys) as store:
            store.memory = site.memory
            try:
                done = pipeline.sign_in(System.of(stages, store), PHOTO, terms)
            except (Conflict, NoMatch) as refusal:
                if claimed is None:
                    raise
                pipeline.judge_stranger(System.of(stages, store), PHOTO, terms, refusal)
                raise _no_match(claimed) from refusal
        answer.show(done.evidence)
        answer.verdict, answer.person = "signed_in", done.person
        if site.results:
            answer.more["continue_to"] = site.results.address_of(
                done.person, done.evidence.basis, state
            )

    return reply_to("sign-in", job, SIGN_IN_STATUS)


def challenge(site: Site, _: Bind, form: Form) -> Reply:
    """Draw the movements that the next sign-in must show."""

    def job(answer: Answer) -> None:
        answer.more |= {"challenge": None, "retry_after_s": None}
        claimed = form.text("name")
        with admin.opened(site.store, site.keys) as store:
            drawn = store.draw_challenge(claimed)
        answer.more["challenge"] = asdict(drawn)
        answer.verdict = "drawn"

    return reply_to("challenge", job)


def _no_match(claimed: str) -> NoMatch:
    """The refusal for an unknown name as well: no client learns which names are enrolled."""
    message = f"the face does not match {PersonName.parse(claimed).text}"
    return NoMatch(Reason("match.none", message, "try another photo, or register"))


def register(site: Site, bind: Bind, form: Form) -> Reply:
    """Enrol all photos of a person, or none."""

    def job(answer: Answer) -> None:
        answer.more["photos"] = None
        name = PersonName.parse(form.required("name"))
        terms = EnrolmentTerms(site.policy, consent=Consent.parse(form.text("consent"), None))
        probes = _named(form.probes(site.limits))
        with admin.opened(site.store, site.keys) as store:
            system = System.of(bind(probes), store)
            done = pipeline.register(system, name, list(probes), terms)
            answer.notes += admin.lookalikes(store, done.person)
        answer.show(*done.evidence)
        answer.notes += doubted(done.evidence)
        answer.verdict, answer.person = "registered", done.person
        answer.more["photos"] = done.photos

    return reply_to("register", job)


def _named(probes: Sequence[Probe]) -> dict[str, Probe]:
    """Each probe with the name that messages give it."""
    if len(probes) == 1:
        return {PHOTO: probes[0]}
    return {f"photo {number}": probe for number, probe in enumerate(probes, start=1)}


def quality(site: Site, bind: Bind, form: Form) -> Reply:
    """Check the quality of a photo; it does not count as an attempt."""

    def job(answer: Answer) -> None:
        purpose = form.text("for") or "sign-in"
        if purpose not in LIMITS:
            message = "the field for is neither sign-in nor register"
            raise malformed(message, f"give one of {', '.join(LIMITS)}")
        answer.more["position"] = None
        stages = bind({PHOTO: form.probe(site.limits)})
        judged = purpose == "sign-in" or not site.policy.accept_doubt
        try:
            found = pipeline.check_quality(stages, PHOTO, LIMITS[purpose], judged=judged)
        except UnusableImage as refusal:
            answer.more["position"] = position_of(evidence_of(refusal))
            raise
        answer.show(found)
        answer.more["position"] = position_of([found])
        answer.verdict = "usable"

    return reply_to("quality", job)


def spoof_check(site: Site, bind: Bind, form: Form) -> Reply:
    """Tell whether the photo shows a live face."""

    def job(answer: Answer) -> None:
        spoof = pipeline.spoof_check(bind({PHOTO: form.probe(site.limits)}), PHOTO, site.policy)
        answer.show(spoof.evidence)
        if spoof.refusal:
            raise spoof.refusal
        answer.verdict = str(spoof.verdict)

    return reply_to("spoof-check", job)


def list_people(site: Site, bind: Bind) -> Reply:
    """List the enrolled people."""

    def job(answer: Answer) -> None:
        with admin.opened(site.store, site.keys) as store:
            people = pipeline.list_people(System.of(bind({}), store))
        answer.more["people"] = [asdict(person) for person in people]
        answer.verdict = "listed"

    return reply_to("list", job)


def remove(site: Site, _: Bind, name: str) -> Reply:
    """Delete a person and everything derived from their photos."""

    def job(answer: Answer) -> None:
        person = PersonName.parse(name)
        with admin.opened(site.store, site.keys) as store:
            (answer.person,) = admin.remove(store, person)
        site.memory.clear()  # the person's mean template would stay until the next search
        answer.verdict = "removed"

    return reply_to("remove", job)


def log(site: Site, _: Bind) -> Reply:
    """The latest entries of the log, oldest first."""

    def job(answer: Answer) -> None:
        with admin.opened(site.store, site.keys) as store:
            answer.more["events"] = _latest(store)
        answer.verdict = "listed"

    return reply_to("log", job)


def unlock(site: Site, _: Bind, form: Form) -> Reply:
    """Forget the failed sign-ins of a person, or of sign-ins without a name."""

    def job(answer: Answer) -> None:
        name = form.text("name")
        person = None if name is None else PersonName.parse(name)
        with admin.opened(site.store, site.keys) as store:
            done = admin.unlock(store, person)
        answer.verdict, answer.person = "unlocked", done.person
        answer.more["failures"] = done.failures

    return reply_to("unlock", job)


def overview(site: Site, bind: Bind, query: str) -> Reply:
    """What the page of the operator shows: people, lock-outs, and the latest entries of the log.

    query: people whose names contain it, in any case.
    """

    def job(answer: Answer) -> None:
        with admin.opened(site.store, site.keys) as store:
            people = pipeline.list_people(System.of(bind({}), store))
            wanted = query.strip().casefold()
            found = [person for person in people if wanted in person.name.casefold()]
            answer.more |= {
                "query": query,
                "enrolled": len(people),
                "found": len(found),
                "people": [asdict(person) for person in islice(found, SHOWN_PEOPLE)],
                "locked": [asdict(lock) for lock in admin.locked(store)],
                "events": _latest(store)[::-1],
            }
        answer.verdict = "listed"

    return reply_to("list", job)


def _latest(store: admin.Store) -> list[dict[str, Any]]:
    return [asdict(event) for event in deque(admin.events(store), SHOWN_EVENTS)]
