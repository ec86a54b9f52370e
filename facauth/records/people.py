"""The old place of admin's verbs, until command line and server call those."""

from facauth.admin import lookalikes as lookalikes
from facauth.admin import parse_period as parse_period
from facauth.admin import purge as purge
from facauth.admin import remove as remove
from facauth.admin import rename as rename
from facauth.admin import unused_for as unused_for
from facauth.records.store import Store
from facauth.structs import Consent, PersonName, PersonRow

consent = Consent.parse


def record(store: Store, name: PersonName, contract: str) -> PersonRow:
    """See admin.show."""
    known_as = store.person(name).name
    return next(row for row in store.people(contract) if row.name == known_as)


def last_used_at(row: PersonRow) -> str:
    """See PersonRow."""
    return row.last_used_at
