"""What the person at the camera sees and is told: on stderr, so that stdout has the result alone.

On a terminal: large words, a bar, and the camera's picture as half blocks if the terminal has
colours and room. Elsewhere: a line for each word as it comes, or with --json an object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live
    from rich.style import Style

    from facauth.structs import Pixels

COLUMNS = 60  # of the picture
LEAST = 40, 16  # columns and lines of a terminal with a picture
WORDS = 5  # lines below the picture
# Of a banner, by event or verdict; other words stand without one.
COLOURS = {
    "prompt": "bold black on bright_yellow",
    "countdown": "bold black on bright_yellow",
    "signed_in": "bold black on bright_green",
    **dict.fromkeys(
        ("no_match", "attack", "unusable_image", "locked_out", "conflict"), "bold white on red"
    ),
}
SLOW_S = 0.1  # for one drawing, as over a slow network
REST = 3  # times as long as a drawing took, until the next one
STEP = 16  # of a colour value; fewer colours are drawn faster


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing that the person is told."""

    event: str  # "advice", "countdown", "prompt", "checking", "waiting" or "result"
    words: str
    arrows: tuple[str, str] = ("", "")  # as characters of any terminal have them, and of UTF-8
    fields: dict[str, Any] = field(default_factory=dict)  # of the JSON object


class Screen(Protocol):
    """Where cues are shown; used in a `with`, which leaves the terminal as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def tell(self, cue: Cue) -> None:
        """Show this cue until the next one."""

    def show(self, pixels: Pixels, share: float | None = None) -> None:
        """Show the camera's picture now, and how much of the cue's time is over."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While something else is written to the terminal."""
        yield


def screen_for(*, as_json: bool, quiet: bool) -> Screen:
    """The screen that suits stderr and the command's options."""
    if as_json:
        return JsonLines()
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return Lines()
    from rich.console import Console

    plain = os.environ.get("NO_COLOR")  # and without bold letters
    return Drawn(Console(stderr=True, color_system=None if plain else "auto"))


class Lines:
    """A line for each cue."""

    def __init__(self) -> None:
        self._last: Cue | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Lines stay."""

    def tell(self, cue: Cue) -> None:
        """Write it, unless it was the last one; a result is on stdout."""
        if cue != self._last and cue.event != "result":
            self._last = cue
            sys.stderr.write(self.line(cue) + "\n")
            sys.stderr.flush()

    def line(self, cue: Cue) -> str:
        """The words alone, so that a program can speak them."""
        return cue.words

    def show(self, pixels: Pixels, share: float | None = None) -> None:
        """No pictures."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Lines are in nobody's way."""
        yield


class JsonLines(Lines):
    """A JSON object for each cue."""

    def line(self, cue: Cue) -> str:
        """With the event first."""
        return json.dumps({"event": cue.event, "words": cue.words, **cue.fields})


class Drawn:
    """Drawn anew with each picture, and gone at the end."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._picture: HalfBlocks | None = None
        self._ready_s = float("-inf")
        self._utf8 = console.encoding.startswith("utf")
        self._colours = console.color_system in ("256", "truecolor")
        self._cue = Cue("waiting", "")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the drawing away; the next one brings it back."""
        self._stop()
        yield

    def tell(self, cue: Cue) -> None:
        """Draw the words, at once."""
        if cue != self._cue:
            self._cue = cue
            self._draw(None)

    def show(self, pixels: Pixels, share: float | None = None) -> None:
        """Draw the picture above the words, unless the terminal is still busy with the last one.

        To wait for a slow terminal would tear the recording.
        """
        if self._now() < self._ready_s:
            return
        width, height = self._console.size
        fits = width >= LEAST[0] and height >= LEAST[1]
        room = min(COLUMNS, width - 1), height - WORDS - 1
        drawn = self._utf8 and self._colours and fits
        self._picture = HalfBlocks(mirrored(pixels, *room)) if drawn else None
        self._draw(share)

    def _draw(self, share: float | None) -> None:
        from rich.console import Group
        from rich.live import Live

        begun = self._now()
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        above = [] if self._picture is None else [self._picture]
        self._live.update(Group(*above, *self._words(share)), refresh=True)
        took_s = self._now() - begun
        self._ready_s = self._now() + REST * took_s
        if took_s > SLOW_S:
            self._picture = None  # the next words come alone

    def _words(self, share: float | None) -> Iterator[RenderableType]:
        from rich.text import Text

        width = min(COLUMNS, self._console.width - 1)
        style = COLOURS.get(self._cue.fields.get("verdict", self._cue.event), "")
        if style:
            told = self._cue.event == "result"  # a name keeps its letters
            arrow = self._cue.arrows[self._utf8]
            text = self._cue.words if told else large(self._cue.words, arrow, width)
            yield from (Text(line.center(width), style=style) for line in ("", text, ""))
        else:
            yield from (Text(line, style="bold") for line in ("", f"  {self._cue.words}", ""))
        full, empty = ("━", "─") if self._utf8 else ("#", "-")
        done = round(width * min(1.0, share or 0.0))
        yield Text("" if share is None else full * done + empty * (width - done))


def large(words: str, arrow: str, width: int) -> str:
    """The words between arrows, in capitals, apart from each other if there is room."""
    plain = f"{arrow}  {words.upper()}  {arrow}"
    apart = f"{arrow}    {' '.join(words.upper())}    {arrow}"
    return apart if len(apart) <= width else plain


def mirrored(pixels: Pixels, columns: int, lines: int) -> Pixels:
    """The picture as in a mirror, with two pixels for each character of the room."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = min(columns / width, 2 * lines / height)
    size = max(1, int(width * scale)), max(2, int(height * scale) // 2 * 2)
    small = cv2.resize(pixels[:, ::-1], size, interpolation=cv2.INTER_AREA)
    return np.asarray(small // STEP * STEP, dtype=np.uint8)


class HalfBlocks:
    """A picture in which a character is two pixels, the upper one its foreground."""

    def __init__(self, pixels: Pixels) -> None:
        self._rows = pixels.tolist()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for upper, lower in zip(self._rows[::2], self._rows[1::2], strict=True):
            for above, below in zip(upper, lower, strict=True):
                yield Segment("▀", coloured(tuple(above), tuple(below)))
            yield Segment.line()


@lru_cache(maxsize=2**14)
def coloured(above: tuple[int, int, int], below: tuple[int, int, int]) -> Style:
    """The style of one character."""
    from rich.color import Color
    from rich.style import Style

    return Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
