"""Several photos of one person: all of them are looked at, and all must do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from facauth.errors import (
    Attack,
    FacauthError,
    Reason,
    UnusableImage,
    UsageProblem,
    image_name,
)

Found = TypeVar("Found")

SEVERITY = (UnusableImage, UsageProblem, Attack)  # the worst decides, as in spoof-check


def each_of(images: Sequence[str], look: Callable[[str], Found]) -> list[Found]:
    """What `look` finds in each image.

    Raises the worst of their refusals, with the reasons of all, each with the name of its photo
    if there are several; `photos` says which is whose. Others, of the setup say, end it at once.
    """
    found, failed = list[Found](), list[FacauthError | None]()
    for image in images:
        failure = None
        try:
            found.append(look(image))
        except SEVERITY as refusal:
            failure = refusal
        failed.append(failure)
    failures = [(image, each) for image, each in zip(images, failed, strict=True) if each]
    if failures:
        several = len(images) > 1
        worst = max((each for _, each in failures), key=lambda each: SEVERITY.index(type(each)))
        reasons = [
            _of(image, reason) if several else reason
            for image, each in failures
            for reason in each.reasons
        ]
        refused = type(worst)(*reasons)
        refused.photos = tuple(failed)
        raise refused
    return found


def _of(image: str, reason: Reason) -> Reason:
    name = image_name(image)
    said = reason.message if name in reason.message else f"{name}: {reason.message}"
    return replace(reason, message=said)
