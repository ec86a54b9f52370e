"""Watches the stages of one command: what each returned and how long it took.

Lets a refusal show what was measured before it, without a word of that in the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Trace:
    """The stages run so far; a stage that ran several times has the sum of its times."""

    def __init__(self) -> None:
        self.elapsed_ms: dict[str, float] = {}
        self._values: list[object] = []

    def restart(self) -> None:
        """Forget everything, for the next photo."""
        self.elapsed_ms, self._values = {}, []

    def watch(self, stage: str, function: Callable[P, T]) -> Callable[P, T]:
        """`function`, with its time and value kept here under the name of its stage."""

        def watched(*args: P.args, **kwargs: P.kwargs) -> T:
            start = perf_counter()
            try:
                value = function(*args, **kwargs)
            finally:
                spent = (perf_counter() - start) * 1000
                self.elapsed_ms[stage] = self.elapsed_ms.get(stage, 0.0) + spent
            self._values.append(value)
            return value

        return watched

    def all(self, kind: type[T]) -> list[T]:
        """Every value of this type, in the order of the stages."""
        return [value for value in self._values if isinstance(value, kind)]

    def last(self, kind: type[T]) -> T | None:
        """The last value of this type; None if no stage came that far."""
        values = self.all(kind)
        return values[-1] if values else None


class NoTrace(Trace):
    """Watches nothing: over a whole folder a trace would hold the pixels of every photo."""

    def watch(self, stage: str, function: Callable[P, T]) -> Callable[P, T]:  # noqa: ARG002
        """`function` itself."""
        return function
