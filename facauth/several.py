"""Several photos of one person: all are examined, and all must pass."""

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


def examine_all(images: Sequence[str], look: Callable[[str], Found]) -> list[Found]:
    """The result of `look` for each image.

    Raises the worst refusal, with the reasons of all. If there are several images, each reason
    names its image, and `photos` has the refusal of each. Other errors are raised at once.
    """
    found, failed = list[Found](), list[FacauthError | None]()
    for image in images:
        failure = None
        try:
            found.append(look(image))
        except SEVERITY as refusal:
            failure = refusal
        failed.append(failure)
    failures = [(image, failure) for image, failure in zip(images, failed, strict=True) if failure]
    if failures:
        several = len(images) > 1
        worst = max(
            (failure for _, failure in failures),
            key=lambda failure: SEVERITY.index(type(failure)),
        )
        reasons = [
            _with_name(image, reason) if several else reason
            for image, failure in failures
            for reason in failure.reasons
        ]
        refused = type(worst)(*reasons)
        refused.photos = tuple(failed)
        raise refused
    return found


def _with_name(image: str, reason: Reason) -> Reason:
    name = image_name(image)
    message = reason.message if name in reason.message else f"{name}: {reason.message}"
    return replace(reason, message=message)
