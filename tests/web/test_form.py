"""Forms and bodies, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from facauth.errors import FacauthError, UsageProblem
from facauth.web.body import Bodies
from facauth.web.form import Form
from facauth.web.refusals import Busy, TooLarge, TooSlow
from facauth.web.site import WebLimits

LIMITS = WebLimits()
FILES = st.binary(max_size=300)


def encoded(fields: dict[str, str], file: bytes | None) -> tuple[str, bytes]:
    """As another program writes it: content type and body."""
    files = {"file": ("x.jpg", file)} if file is not None else None
    request = httpx.Request("POST", "http://x", data=fields, files=files)
    return request.headers["Content-Type"], request.read()


@given(st.text(max_size=50), FILES)
def test_what_was_written_is_read(text: str, file: bytes) -> None:
    form = Form.parse(*encoded({"name": text}, file), LIMITS)
    assert form.fields == {"name": text.encode(), "file": file}
    assert form.text("name") == (text or None)


@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9), min_size=1, max_size=8)
)
def test_a_form_without_a_file_too(fields: dict[str, str]) -> None:
    form = Form.parse(*encoded(fields, None), LIMITS)
    assert form.fields == {name: text.encode() for name, text in fields.items()}


@given(FILES, st.integers(1, 400))
def test_a_form_that_is_cut_off_is_none(file: bytes, missing: int) -> None:
    """A photo must not be taken for whole because its end never came."""
    kind, body = encoded({}, file)
    cut = body[: max(0, len(body) - 4 - missing)]  # --\r\n ends it; the dashes alone do too
    with pytest.raises(UsageProblem):
        Form.parse(kind, cut, LIMITS)


@given(st.binary(max_size=400), st.sampled_from(["b", "", "--", "\r\n", "\xff"]))
def test_whatever_is_sent_is_a_form_or_refused(body: bytes, boundary: str) -> None:
    for given_body in (body, b"--b\r\n" + body, body + b"\r\n--b--\r\n"):
        for kind in (f"multipart/form-data; boundary={boundary}", "text/html", ""):
            try:
                form = Form.parse(kind, given_body, LIMITS)
            except UsageProblem as refusal:
                assert refusal.reasons[0].code == "form.malformed"
            else:
                assert len(form.fields) <= LIMITS.max_fields


def test_more_fields_than_there_can_be() -> None:
    fields = {str(number): "" for number in range(9)}
    for file in (None, b"x"):
        with pytest.raises(UsageProblem):
            Form.parse(*encoded(fields, file), LIMITS)


def test_a_text_has_an_end() -> None:
    form = Form.parse(*encoded({"name": "x" * 5000}, b"x"), LIMITS)
    with pytest.raises(UsageProblem):
        form.text("name")


def read(
    bodies: Bodies, chunks: Sequence[bytes], declared: int | None = None, pause_s: float = 0
) -> int:
    """How many bytes of these come through; 20 at most may."""
    return asyncio.run(reading(bodies, chunks, declared, pause_s))


async def reading(
    bodies: Bodies,
    chunks: Sequence[bytes],
    declared: int | None = None,
    pause_s: float = 0,
    client: str = "somebody",
    held: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """The same; with `held` while they are held."""
    waiting = list(chunks)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    length = [] if declared is None else [(b"content-length", str(declared).encode())]
    request = Request({"type": "http", "method": "POST", "headers": length}, receive)
    async with bodies.body(request, 20, client) as body:
        assert body == b"".join(chunks)
        if held:
            await held()
        return len(body)


def test_a_body_within_the_limits() -> None:
    assert read(Bodies(LIMITS), [b"x" * 12, b"y" * 8], declared=20) == 20


@pytest.mark.parametrize(
    ("chunks", "declared"),
    [([b"x"], 21), ([b"x" * 12, b"y" * 9], None), ([b"x" * 12, b"y" * 9], 3)],
)
def test_a_body_that_is_too_large(chunks: list[bytes], declared: int | None) -> None:
    with pytest.raises(TooLarge):
        read(Bodies(LIMITS), chunks, declared)


def test_a_body_that_comes_too_slowly() -> None:
    with pytest.raises(TooSlow):
        read(Bodies(replace(LIMITS, upload_s=0.05)), [b"x"] * 9, pause_s=0.02)


@pytest.mark.parametrize("ends", [[b"x" * 10], [b"x" * 19, b"x" * 9]])
def test_all_bodies_together_are_bounded_and_what_was_held_is_let_go(ends: list[bytes]) -> None:
    bodies = Bodies(replace(LIMITS, max_buffered_bytes=20))
    for _ in range(3):
        try:
            assert read(bodies, ends) == 10
        except FacauthError as refusal:
            assert isinstance(refusal, Busy)
            assert len(ends) == 2
    assert not bodies._held_bytes


def test_no_client_keeps_all_others_out() -> None:
    """Each holds half at most; two together hold all there is, and then it is full for a third."""
    bodies = Bodies(replace(LIMITS, max_buffered_bytes=20))

    async def run() -> None:
        async def more(size: int, client: str) -> None:
            with pytest.raises(Busy):
                await reading(bodies, [b"x" * size], client=client)

        async def one_is_full() -> None:
            await more(1, "one")
            assert await reading(bodies, [b"x" * 10], client="other", held=both_are) == 10

        async def both_are() -> None:
            await more(1, "third")

        assert await reading(bodies, [b"x" * 10], client="one", held=one_is_full) == 10

    asyncio.run(run())
    assert not bodies._held_bytes
