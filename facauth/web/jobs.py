"""What the workers do: each job reads its form, opens the store, and calls what commands call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache

from facauth import pipeline
from facauth.envelope import Answer, doubted, turned
from facauth.errors import Conflict, NoMatch, Reason
from facauth.networks import Networks
from facauth.records import people
from facauth.records.keys import KeyAccess, Lock
from facauth.records.store import Store
from facauth.settings import ENROLMENT_QUALITY, SIGN_IN_QUALITY
from facauth.stages import Stages, bind
from facauth.structs import PersonName
from facauth.web.answers import Reply, answered
from facauth.web.form import Form
from facauth.web.refusals import SIGN_IN_STATUS, malformed
from facauth.web.site import Site

LIMITS = {"sign-in": SIGN_IN_QUALITY, "register": ENROLMENT_QUALITY}
Allowed = Callable[[str | None], None]  # given the form's CSRF token; raises Forbidden


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


@dataclass(frozen=True, slots=True)
class Upload:
    """A form that is not read yet: whoever sends it must not keep the event loop busy."""

    content_type: str
    body: bytearray

    def form(self, site: Site) -> Form:
        """Raises UsageProblem."""
        return Form.parse(self.content_type, self.body, site.limits)


def sign_in(site: Site, upload: Upload, networks: Networks) -> Reply:
    """Who is in the photo, or: is it the person that is named."""

    def job(answer: Answer) -> None:
        answer.more["retry_after_s"] = None
        form = upload.form(site)
        stages, claimed = _stages(networks, answer, form), form.text("name")
        with Store.open(site.store, site.keys) as store:
            try:
                match = pipeline.sign_in(stages, store, "upload", claimed, site.policy, site.rate)
            except Conflict as error:
                raise _stranger(claimed) from error
        answer.verdict, answer.person = "signed_in", match.person
        answer.notes += turned(answer.trace)

    return answered("sign-in", job, SIGN_IN_STATUS)


def _stranger(claimed: str | None) -> NoMatch:
    """Said of a name that nobody has as well: who is enrolled is not for everybody to know."""
    message = f"the face does not match {claimed}"
    return NoMatch(Reason("match.none", message, "try another photo, or register"))


def register(site: Site, upload: Upload, networks: Networks, *, allowed: Allowed) -> Reply:
    """Enrol one photo of a person."""

    def job(answer: Answer) -> None:
        answer.more["photos"] = None
        form = upload.form(site)
        allowed(form.text("csrf"))
        name = PersonName.parse(form.required("name"))
        agreed = people.consent(form.text("consent"), None)
        stages = _stages(networks, answer, form)
        with Store.open(site.store, site.keys, create=True) as store:
            answer.person, answer.more["photos"] = pipeline.register(
                stages, store, name, ["upload"], site.policy, consent=agreed
            )
        answer.verdict = "registered"
        answer.notes += doubted(answer.trace) + turned(answer.trace)

    return answered("register", job)


def quality(site: Site, upload: Upload, networks: Networks) -> Reply:
    """What a photo lacks before it is worth a try, which it does not count as."""

    def job(answer: Answer) -> None:
        form = upload.form(site)
        purpose = form.text("for") or "sign-in"
        if purpose not in LIMITS:
            raise malformed("nothing takes such a photo", f"give one of {', '.join(LIMITS)}")
        judgeable = purpose == "sign-in" or not site.policy.accept_doubt
        stages = _stages(networks, answer, form)
        pipeline.check_quality(stages, "upload", LIMITS[purpose], judgeable=judgeable)
        answer.verdict = "usable"

    return answered("quality", job)


def spoof_check(site: Site, upload: Upload, networks: Networks, *, allowed: Allowed) -> Reply:
    """Whether the photo shows a live face."""

    def job(answer: Answer) -> None:
        form = upload.form(site)
        allowed(form.text("csrf"))
        spoof = pipeline.check_spoof(_stages(networks, answer, form), "upload", site.policy)
        if spoof.refusal:
            raise spoof.refusal
        answer.verdict = str(spoof.verdict)
        answer.notes += turned(answer.trace)

    return answered("spoof-check", job)


def list_people(site: Site, networks: Networks) -> Reply:
    """Everybody who is enrolled."""

    def job(answer: Answer) -> None:
        with Store.open(site.store, site.keys) as store:
            answer.more["people"] = [asdict(row) for row in store.people(networks.contract)]
        answer.verdict = "listed"

    return answered("list", job)


def remove(site: Site, name: str, _: Networks) -> Reply:
    """Delete a person and everything derived from their photos."""

    def job(answer: Answer) -> None:
        person = PersonName.parse(name)
        with Store.open(site.store, site.keys) as store:
            answer.person = store.known_as(person)
            people.remove(store, person)
        answer.verdict = "removed"

    return answered("remove", job)


def _stages(networks: Networks, answer: Answer, form: Form) -> Stages:
    """The stages on the photo of a form, whatever it is called."""
    photo = form.photo()
    return bind(networks, answer.trace, read=lambda _: photo)
