"""What the workers do: each job reads its form, opens the store, and calls what commands call."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache

from facauth import pipeline
from facauth.envelope import Answer, doubted
from facauth.errors import Conflict, NoMatch, Reason
from facauth.evidence import evidence_of
from facauth.networks import Networks
from facauth.records import people
from facauth.records.keys import KeyAccess, Lock
from facauth.records.store import Store
from facauth.settings import ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.structs import EnrolmentTerms, PersonName, Terms
from facauth.system import Stages, System, bind
from facauth.web.answers import Reply, answered
from facauth.web.form import Form
from facauth.web.refusals import SIGN_IN_STATUS, malformed
from facauth.web.site import Site

LIMITS = {"sign-in": SIGN_IN_QUALITY, "register": ENROLMENT_QUALITY}


class HeldKeys(KeyAccess):
    """Keeps what a passphrase was turned into, which takes a third of a second and 128 MB."""

    def kek(self, lock: Lock) -> bytes:
        """As KeyAccess.kek."""
        return _kek(self, lock)


@lru_cache(maxsize=4)
def _kek(access: HeldKeys, lock: Lock) -> bytes:
    return KeyAccess.kek(access, lock)


def require_store(site: Site) -> list[str]:
    """Make the store if there is none; what others may do to it. Raises SetupProblem."""
    with Store.open(site.store, site.keys, create=True) as store:
        store.vault()
        return store.warnings


def sign_in(site: Site, networks: Networks, form: Form) -> Reply:
    """Who is in the photo, or: is it the person that is named."""

    def job(answer: Answer) -> None:
        answer.more["retry_after_s"] = None
        claimed = form.text("name")
        asked = Terms.of(site.rate, claimed, site.policy)
        stages = _stages(site, networks, form)
        with Store.open(site.store, site.keys) as store:
            store.memory = site.memory
            try:
                done = pipeline.sign_in(System.of(stages, store), "upload", asked)
            except (Conflict, NoMatch) as refusal:
                if claimed is None:
                    raise
                if not any(found.liveness for found in evidence_of(refusal)):
                    pipeline.judge_stranger(stages, "upload", asked)
                raise _stranger(claimed) from refusal
        answer.show(done.evidence)
        answer.verdict, answer.person = "signed_in", done.person

    return answered("sign-in", job, SIGN_IN_STATUS)


def _stranger(claimed: str) -> NoMatch:
    """Said of a name that nobody has as well: who is enrolled is not for everybody to know."""
    message = f"the face does not match {PersonName.parse(claimed).text}"
    return NoMatch(Reason("match.none", message, "try another photo, or register"))


def register(site: Site, networks: Networks, form: Form) -> Reply:
    """Enrol one photo of a person."""

    def job(answer: Answer) -> None:
        answer.more["photos"] = None
        name = PersonName.parse(form.required("name"))
        agreed = people.consent(form.text("consent"), None)
        stages = _stages(site, networks, form)
        with Store.open(site.store, site.keys) as store:
            done = pipeline.register(
                System.of(stages, store),
                name,
                ["upload"],
                EnrolmentTerms(site.policy, consent=agreed),
            )
        answer.show(*done.evidence)
        answer.notes += doubted(done.evidence)
        answer.verdict, answer.person = "registered", done.person
        answer.more["photos"] = done.photos

    return answered("register", job)


def quality(site: Site, networks: Networks, form: Form) -> Reply:
    """What a photo lacks before it is worth a try, which it does not count as."""

    def job(answer: Answer) -> None:
        purpose = form.text("for") or "sign-in"
        if purpose not in LIMITS:
            raise malformed("nothing takes such a photo", f"give one of {', '.join(LIMITS)}")
        stages = _stages(site, networks, form)
        judgeable = purpose == "sign-in" or not site.policy.accept_doubt
        answer.show(pipeline.check_quality(stages, "upload", LIMITS[purpose], judgeable=judgeable))
        answer.verdict = "usable"

    return answered("quality", job)


def spoof_check(site: Site, networks: Networks, form: Form) -> Reply:
    """Whether the photo shows a live face."""

    def job(answer: Answer) -> None:
        spoof = pipeline.spoof_check(_stages(site, networks, form), "upload", site.policy)
        answer.show(spoof.evidence)
        if spoof.refusal:
            raise spoof.refusal
        answer.verdict = str(spoof.verdict)

    return answered("spoof-check", job)


def list_people(site: Site, networks: Networks) -> Reply:
    """Everybody who is enrolled."""

    def job(answer: Answer) -> None:
        with Store.open(site.store, site.keys) as store:
            answer.more["people"] = [asdict(row) for row in store.people(networks.contract)]
        answer.verdict = "listed"

    return answered("list", job)


def remove(site: Site, _: Networks, name: str) -> Reply:
    """Delete a person and everything derived from their photos."""

    def job(answer: Answer) -> None:
        person = PersonName.parse(name)
        with Store.open(site.store, site.keys) as store:
            answer.person = store.known_as(person)
            people.remove(store, person)
        site.memory.clear()  # or else their mean would stay until somebody is looked for
        answer.verdict = "removed"

    return answered("remove", job)


def _stages(site: Site, networks: Networks, form: Form) -> Stages:
    """The stages on the photo of a form, whatever it is called."""
    photo = form.photo()
    return bind(networks, lambda _: photo, max_pixels=site.limits.max_pixels)
