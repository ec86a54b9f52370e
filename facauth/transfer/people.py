"""The old place of admin's export and import, until the command line calls those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from facauth.admin import chosen as chosen
from facauth.admin import export as export
from facauth.admin import import_
from facauth.networks import Checked, Networks
from facauth.system import System, bind

if TYPE_CHECKING:
    from facauth.decision.calibration import Calibration
    from facauth.records.store import Store
    from facauth.transfer.document import PersonCopy


def take_in(
    store: Store,
    people: Sequence[PersonCopy],
    contract: str,
    calibration: Calibration,
    *,
    allow_duplicate: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """See admin.import_."""
    stages = replace(bind(Networks(Checked(None))), contract=partial(str, contract))
    system = System(stages, store, calibration)
    import_(system, people, allow_duplicate=allow_duplicate, advance=advance)
