"""Signed results: what a caller can check, and what nobody can change."""

from __future__ import annotations

import base64
from pathlib import Path
from time import time
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st
from signed import checked, decoded

from facauth.errors import SetupProblem, UsageProblem
from facauth.structs import Basis
from facauth.web.results import Results, require_state
from facauth.web.token import result_key

SEED, OTHER = bytes(32), bytes([1] * 32)
CALLER = "https://example.org:8443/signed-in?from=facauth"


def token_of(address: str) -> str:
    (token,) = parse_qs(urlsplit(address).query)["facauth_result"]
    return token


def test_a_result_says_who_signed_in_for_whom_and_until_when() -> None:
    results = Results(CALLER, SEED)
    address = results.address_of("Ada Lövelace", Basis.CHALLENGE, "s-1.~_")
    assert address.startswith("https://example.org:8443/signed-in?from=facauth&facauth_result=")
    assert parse_qs(urlsplit(address).query)["state"] == ["s-1.~_"]
    claims = checked(token_of(address), results.public_keys())
    assert abs(claims["iat"] - time()) < 5
    assert claims.pop("exp") - claims.pop("iat") == 60
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": "facauth",
        "aud": "https://example.org:8443",
        "sub": "Ada Lövelace",
        "amr": ["face"],
        "basis": "challenge",
        "nonce": "s-1.~_",
    }


def test_an_address_has_its_result_and_state_once() -> None:
    """Of two states a caller might check the first one, which is the same for everybody."""
    results = Results("https://example.org/in?state=fixed&facauth_result=x&from=y", SEED)
    found = parse_qs(urlsplit(results.address_of("Ada", Basis.STILL, "mine")).query)
    assert (found["state"], found["from"], len(found["facauth_result"])) == (["mine"], ["y"], 1)
    assert "state" not in parse_qs(urlsplit(results.address_of("Ada", Basis.STILL, None)).query)


def test_each_result_is_another() -> None:
    results = Results(CALLER, SEED)
    tokens = {token_of(results.address_of("Ada", Basis.STILL, None)) for _ in range(5)}
    assert len(tokens) == 5
    assert all("nonce" not in checked(token, results.public_keys()) for token in tokens)


@given(st.data())
def test_a_changed_result_is_none(data: st.DataObject) -> None:
    results = Results(CALLER, SEED)
    token = token_of(results.address_of("Ada", Basis.STILL, "x"))
    header, claims, signature = token.split(".")
    at = data.draw(st.integers(0, len(decoded(claims)) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    changed = bytearray(decoded(claims))
    changed[at] ^= bit
    forged = base64.urlsafe_b64encode(changed).decode().rstrip("=")
    with pytest.raises(InvalidSignature):
        checked(f"{header}.{forged}.{signature}", results.public_keys())


def test_the_key_of_another_server_signs_nothing_here() -> None:
    ours, theirs = Results(CALLER, SEED), Results(CALLER, OTHER)
    token = token_of(theirs.address_of("Ada", Basis.STILL, None))
    keys = ours.public_keys()
    keys["keys"][0]["kid"] = theirs.public_keys()["keys"][0]["kid"]
    with pytest.raises(InvalidSignature):
        checked(token, keys)


def test_only_the_public_key_is_shown() -> None:
    (key,) = Results(CALLER, SEED).public_keys()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "example.org",
            "/done",
            "//example.org/",
            "http://example.org/",
            "ftp://example.org/",
        ),
        *("javascript:alert(1)", "data:text/html,x", "https://", "https://user@example.org/"),
        *(
            "https://example.org/#x",
            "https://example.org:port/",
            "https://[::1/",
            "https://ex\u00e4.org",
        ),
        *("http://localhost.example.org/", "http://127.0.0.1.example.org/"),
    ],
)
def test_an_address_that_no_result_is_sent_to(address: str) -> None:
    with pytest.raises(UsageProblem) as refusal:
        Results(address, SEED)
    assert refusal.value.reasons[0].code == "server.on_success"


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "[::1]:8080"])
def test_a_caller_on_this_machine_needs_no_https(host: str) -> None:
    assert Results(f"http://{host}/done", SEED).audience == f"http://{host}"


@pytest.mark.parametrize("state", ["", " ", "a b", "x" * 201, "é", "<script>", "a&b=c", "a\n"])
def test_a_state_that_would_not_come_back_as_it_was_given(state: str) -> None:
    with pytest.raises(UsageProblem):
        require_state(state)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.key"
    key = result_key(file)
    assert (len(key), key) == (32, result_key(file))
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(SetupProblem) as refusal:
        result_key(file)
    assert refusal.value.reasons[0].code == "result.signing"
