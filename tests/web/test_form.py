"""Forms and bodies, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from starlette.requests import Request

from facauth.errors import FacauthError, UsageProblem
from facauth.web.form import MULTIPART, URLENCODED, Form, Forms
from facauth.web.probe import Frames
from facauth.web.refusals import Busy, TooLarge, TooSlow, status_of
from facauth.web.site import WebLimits

LIMITS = WebLimits()
FILES = st.binary(max_size=300)
BOTH = (MULTIPART, URLENCODED)


def encoded(fields: dict[str, str], file: bytes | None) -> tuple[str, bytes]:
    """As another program writes it: content type and body."""
    files = {"file": ("x.jpg", file)} if file is not None else None
    request = httpx.Request("POST", "http://x", data=fields, files=files)
    return request.headers["Content-Type"], request.read()


def parsed(kind: str, *chunks: bytes, kinds: Sequence[str] = BOTH) -> Form:
    """The form that comes in these pieces."""

    async def run() -> Form:
        async with Forms(LIMITS).read(request_of(kind, chunks), kinds, "somebody") as form:
            return form

    return asyncio.run(run())


def request_of(
    kind: str, chunks: Sequence[bytes], declared: int | None = None, pause_s: float = 0
) -> Request:
    """A request whose body comes in these pieces."""
    waiting = list(chunks)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    headers = [(b"content-type", kind.encode("latin-1", "replace"))]
    if declared is not None:
        headers.append((b"content-length", str(declared).encode()))
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@given(st.text(max_size=50), FILES, st.integers(1, 99))
def test_what_was_written_is_read(text: str, file: bytes, cut: int) -> None:
    kind, body = encoded({"name": text}, file)
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)]
    form = parsed(kind, *pieces)
    assert (form.fields, form.files) == ({"name": text}, (file,))
    assert form.text("name") == (text or None)


@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9), min_size=1, max_size=8)
)
def test_a_form_without_a_file_too(fields: dict[str, str]) -> None:
    fields.pop("file", None)
    assume(fields)
    assert parsed(*encoded(fields, None)).fields == fields


@given(FILES, st.integers(1, 400))
def test_a_form_that_is_cut_off_is_none(file: bytes, missing: int) -> None:
    """A photo must not be taken for whole because its end never came."""
    kind, body = encoded({"name": "x"}, file)
    cut = body[: max(0, len(body) - 4 - missing)]  # --\r\n ends it; the dashes alone do too
    with pytest.raises(UsageProblem):
        parsed(kind, cut)


@given(st.binary(max_size=400), st.sampled_from(["b", "", "--", "\r\n", "\xff", "b" * 999]))
def test_whatever_is_sent_is_a_form_or_refused(body: bytes, boundary: str) -> None:
    for given_body in (body, b"--b\r\n" + body, body + b"\r\n--b--\r\n"):
        for kind in (f"{MULTIPART}; boundary={boundary}", MULTIPART, URLENCODED, "text/html", ""):
            try:
                form = parsed(kind, given_body)
            except UsageProblem as refusal:
                assert refusal.reasons[0].code in ("form.malformed", "form.media_type")
            else:
                assert len(form.fields) <= LIMITS.max_fields


def part(*headers: str, content: str = "x") -> str:
    return "--b\r\n" + "".join(f"{each}\r\n" for each in headers) + f"\r\n{content}\r\n"


FILE = 'Content-Disposition: form-data; name="file"; filename="x"'
NAME = 'Content-Disposition: form-data; name="name"'
FRAME = 'Content-Disposition: form-data; name="frame"; filename="x"'


@pytest.mark.parametrize(
    "parts",
    [
        [part(NAME), part(NAME), part(FILE)],
        [part(FRAME) for _ in range(81)],
        [part(f'{NAME}; filename="x"')],  # or else a claimed name would be overlooked
        [part(f'{NAME}; filename="x"'), part(FILE)],
        [part(NAME, content="x" * 5000), part(FILE)],
        [part(NAME.replace('"name"', f'"{each}"')) for each in range(9)],
        [part("X: y"), part(FILE)],
        [part(NAME, *[f"X-{each}: y" for each in range(99)])],
        [part(NAME, "X: " + "y" * 9000)],
    ],
)
def test_a_form_with_too_much_in_it(parts: list[str]) -> None:
    with pytest.raises(UsageProblem) as refusal:
        parsed(f"{MULTIPART}; boundary=b", "".join([*parts, "--b--\r\n"]).encode())
    assert refusal.value.reasons[0].code == "form.malformed"


def test_a_photo_is_a_file() -> None:
    """Text of the same name is none, and too long for one."""
    form = parsed(f"{MULTIPART}; boundary=b", (part(FILE.partition("; f")[0]) + "--b--").encode())
    with pytest.raises(UsageProblem):
        form.probe(LIMITS)


def test_two_photos_are_of_one_person_or_too_many() -> None:
    """Registering takes both; whatever looks at one probe refuses."""
    body = "".join([part(FILE, content="one"), part(FILE, content="two"), "--b--\r\n"])
    form = parsed(f"{MULTIPART}; boundary=b", body.encode())
    assert form.probes(LIMITS) == [b"one", b"two"]
    with pytest.raises(UsageProblem):
        form.probe(LIMITS)


def test_an_empty_file_beside_a_photo_is_what_browsers_send_for_none() -> None:
    assert Form({}, (b"", b"x")).probe(LIMITS) == b"x"
    assert isinstance(Form({"times_ms": "0"}, (b"",), (b"x",)).probe(LIMITS), Frames)


@pytest.mark.parametrize(
    "form",
    [
        Form(),
        Form({}, (b"",)),
        Form({}, (b"x",) * 9),
        Form({"times_ms": "0"}, (b"x",), (b"x",)),
        Form({}, (), (b"x",)),
        Form({"times_ms": "0"}),
    ],
)
def test_neither_no_nor_too_many_photos_nor_both_kinds(form: Form) -> None:
    with pytest.raises(UsageProblem):
        form.probes(LIMITS)


@given(st.lists(st.integers(1, 30_000), min_size=0, max_size=79, unique=True))
def test_frames_have_the_times_that_the_page_gives(later: list[int]) -> None:
    times = [0, *sorted(later)]
    frames = tuple(str(time).encode() for time in times)
    probe = Form({"times_ms": ",".join(map(str, times))}, (), frames).probe(LIMITS)
    assert isinstance(probe, Frames)
    assert probe.jpegs == frames
    assert probe.times_s == tuple(time / 1000 for time in times)


@pytest.mark.parametrize(
    "times_ms",
    [
        *("", "0", "0,0", "0,2,1", "1,2,3", "0,1,30001", "0,1,2,3", "0,1,", ",0,1", "0;1;2"),
        *("0,-1,2", "0, 1,2", "0,1.5,2", "0,1_0,20", "0,+1,2", "0,1e1,20", "0,¹,2"),
        *("0,١,2", "0,1,000002", "0,nan,2", f"0,1,{'9' * 5000}"),
    ],
)
def test_times_that_are_none(times_ms: str) -> None:
    with pytest.raises(UsageProblem) as refusal:
        Form({"times_ms": times_ms}, (), (b"x",) * 3).probe(LIMITS)
    assert refusal.value.reasons[0].code == "form.malformed"


@pytest.mark.parametrize(
    ("sizes", "refused"),
    [
        ((LIMITS.max_frame_bytes,) * 27, None),
        ((LIMITS.max_frame_bytes,) * 28, TooLarge),  # 8 MB in all
        ((LIMITS.max_frame_bytes + 1,), TooLarge),
        ((1,) * 80, None),
        ((1,) * 81, UsageProblem),
        ((1, 0, 1), UsageProblem),
    ],
)
def test_frames_have_limits(sizes: tuple[int, ...], refused: type[FacauthError] | None) -> None:
    times_ms = ",".join(str(number) for number in range(len(sizes)))
    form = Form({"times_ms": times_ms}, (), tuple(b"x" * size for size in sizes))
    if refused is None:
        assert isinstance(form.probe(LIMITS), Frames)
        return
    with pytest.raises(refused):
        form.probe(LIMITS)


def test_more_fields_than_there_can_be() -> None:
    fields = {str(number): "" for number in range(9)}
    for file in (None, b"x"):
        with pytest.raises(UsageProblem):
            parsed(*encoded(fields, file))


def test_another_type_is_refused_before_a_byte_is_read() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError

    headers = [(b"content-type", URLENCODED.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)

    async def run() -> None:
        async with Forms(LIMITS).read(request, (MULTIPART,), "somebody"):
            raise AssertionError

    with pytest.raises(UsageProblem) as refusal:
        asyncio.run(run())
    assert status_of(refusal.value) == 415


@pytest.mark.parametrize("declared", [True, False])
def test_what_is_no_photo_is_small(declared: bool) -> None:
    """4 KB, and as long as nobody says how much it is, not a byte more is read."""
    body = b"token=" + b"%41" * 2000
    request = request_of(URLENCODED, [body[:4000], body[4000:]], len(body) if declared else None)

    async def run() -> None:
        async with Forms(LIMITS).read(request, BOTH, "somebody"):
            raise AssertionError

    with pytest.raises(TooLarge):
        asyncio.run(run())


SMALL = part(FILE, content="").encode()  # and then what a test sends as the file
END = b"\r\n--b--\r\n"
AROUND = len(SMALL) - 2 + len(END)


def read(
    forms: Forms, chunks: Sequence[bytes], declared: int | None = None, pause_s: float = 0
) -> int:
    """How many bytes of a file in these pieces come through; 20 at most may."""
    return asyncio.run(reading(forms, chunks, declared, pause_s))


async def reading(
    forms: Forms,
    chunks: Sequence[bytes],
    declared: int | None = None,
    pause_s: float = 0,
    client: str = "somebody",
    held: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """The same; with `held` while they are held."""
    pieces = [SMALL[:-2], *chunks, END]
    length = None if declared is None else declared + AROUND
    request = request_of(f"{MULTIPART}; boundary=b", pieces, length, pause_s)
    async with forms.read(request, BOTH, client) as form:
        assert form.files == (b"".join(chunks),)
        if held:
            await held()
        return len(form.files[0])


def of(limits: WebLimits, **bytes_: int) -> Forms:
    """With limits that are so many bytes more than what is around a file."""
    return Forms(replace(limits, **{name: AROUND + size for name, size in bytes_.items()}))


def test_a_body_within_the_limits() -> None:
    assert read(of(LIMITS, max_body_bytes=20), [b"x" * 12, b"y" * 8], declared=20) == 20


@pytest.mark.parametrize(
    ("chunks", "declared"),
    [([b"x"], 21), ([b"x" * 12, b"y" * 9], None), ([b"x" * 12, b"y" * 9], 3)],
)
def test_a_body_that_is_too_large(chunks: list[bytes], declared: int | None) -> None:
    with pytest.raises(TooLarge):
        read(of(LIMITS, max_body_bytes=20), chunks, declared)


def test_a_body_that_comes_too_slowly() -> None:
    with pytest.raises(TooSlow):
        read(Forms(replace(LIMITS, upload_s=0.05)), [b"x"] * 9, pause_s=0.02)


@pytest.mark.parametrize("ends", [[b"x" * 10], [b"x" * 19, b"x" * 9]])
def test_all_bodies_together_are_bounded_and_what_was_held_is_let_go(ends: list[bytes]) -> None:
    forms = Forms(replace(LIMITS, max_buffered_bytes=2 * (AROUND + 10)))
    for _ in range(3):
        try:
            assert read(forms, ends) == 10
        except FacauthError as refusal:
            assert isinstance(refusal, Busy)
            assert len(ends) == 2
    assert not forms._held_bytes


def test_no_client_keeps_all_others_out() -> None:
    """Each holds half at most; two together hold all there is, and then it is full for a third."""
    forms = Forms(replace(LIMITS, max_buffered_bytes=2 * (AROUND + 10)))

    async def run() -> None:
        async def more(size: int, client: str) -> None:
            with pytest.raises(Busy):
                await reading(forms, [b"x" * size], client=client)

        async def one_is_full() -> None:
            await more(1, "one")
            assert await reading(forms, [b"x" * 10], client="other", held=both_are) == 10

        async def both_are() -> None:
            await more(1, "third")

        assert await reading(forms, [b"x" * 10], client="one", held=one_is_full) == 10

    asyncio.run(run())
    assert not forms._held_bytes
