"""The jobs of the workers: each reads its form, opens the store and calls the pipeline or admin."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache

from facauth import admin, pipeline
from facauth.envelope import Answer, doubted
from facauth.errors import Conflict, NoMatch, Reason
from facauth.evidence import evidence_of
from facauth.settings import ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.structs import Consent, EnrolmentTerms, PersonName, Terms
from facauth.system import System
from facauth.web.answers import Reply, reply_to
from facauth.web.form import Form
from facauth.web.refusals import SIGN_IN_STATUS, malformed
from facauth.web.site import Site
from facauth.web.workers import Bind

PHOTO = "upload"  # the name of the photo in messages
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
        terms = Terms.of(site.rate, claimed, site.policy)
        stages = bind(form.photo())
        with admin.opened(site.store, site.keys) as store:
            store.memory = site.memory
            try:
                done = pipeline.sign_in(System.of(stages, store), PHOTO, terms)
            except (Conflict, NoMatch) as refusal:
                if claimed is None:
                    raise
                if not any(found.liveness for found in evidence_of(refusal)):
                    pipeline.judge_stranger(System.of(stages, store), PHOTO, terms)
                raise _no_match(claimed) from refusal
        answer.show(done.evidence)
        answer.verdict, answer.person = "signed_in", done.person

    return reply_to("sign-in", job, SIGN_IN_STATUS)


def _no_match(claimed: str) -> NoMatch:
    """The refusal for an unknown name as well: no client learns which names are enrolled."""
    message = f"the face does not match {PersonName.parse(claimed).text}"
    return NoMatch(Reason("match.none", message, "try another photo, or register"))


def register(site: Site, bind: Bind, form: Form) -> Reply:
    """Enrol one photo of a person."""

    def job(answer: Answer) -> None:
        answer.more["photos"] = None
        name = PersonName.parse(form.required("name"))
        terms = EnrolmentTerms(site.policy, consent=Consent.parse(form.text("consent"), None))
        stages = bind(form.photo())
        with admin.opened(site.store, site.keys) as store:
            done = pipeline.register(System.of(stages, store), name, [PHOTO], terms)
            answer.notes += admin.lookalikes(store, done.person)
        answer.show(*done.evidence)
        answer.notes += doubted(done.evidence)
        answer.verdict, answer.person = "registered", done.person
        answer.more["photos"] = done.photos

    return reply_to("register", job)


def quality(site: Site, bind: Bind, form: Form) -> Reply:
    """Check the quality of a photo; it does not count as an attempt."""

    def job(answer: Answer) -> None:
        purpose = form.text("for") or "sign-in"
        if purpose not in LIMITS:
            message = "the field for is neither sign-in nor register"
            raise malformed(message, f"give one of {', '.join(LIMITS)}")
        stages = bind(form.photo())
        judged = purpose == "sign-in" or not site.policy.accept_doubt
        answer.show(pipeline.check_quality(stages, PHOTO, LIMITS[purpose], judged=judged))
        answer.verdict = "usable"

    return reply_to("quality", job)


def spoof_check(site: Site, bind: Bind, form: Form) -> Reply:
    """Tell whether the photo shows a live face."""

    def job(answer: Answer) -> None:
        spoof = pipeline.spoof_check(bind(form.photo()), PHOTO, site.policy)
        answer.show(spoof.evidence)
        if spoof.refusal:
            raise spoof.refusal
        answer.verdict = str(spoof.verdict)

    return reply_to("spoof-check", job)


def list_people(site: Site, bind: Bind) -> Reply:
    """List the enrolled people."""

    def job(answer: Answer) -> None:
        with admin.opened(site.store, site.keys) as store:
            people = pipeline.list_people(System.of(bind(b""), store))
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
