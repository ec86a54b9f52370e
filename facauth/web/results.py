"""Signed results of sign-ins, for the page of a caller that visitors go on to.

A result is a JWT (RFC 7519) signed with Ed25519 (JWS, RFC 7515; EdDSA, RFC 8037). The caller has
the public key alone, so it can check a result and make none. A result passes through the visitor's
browser. So it expires soon, names its audience, and repeats the caller's `state`, by which the
caller knows that this visitor asked for it, and only once.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from facauth.errors import Reason, UsageProblem, shown
from facauth.web.refusals import malformed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LIFETIME_S = 60
ISSUER, PARAMETER = "facauth", "facauth_result"
STATE = re.compile(r"[A-Za-z0-9._~-]{1,200}")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Results:
    """Signs results for one address."""

    def __init__(self, address: str, seed: bytes) -> None:
        """Raises UsageProblem for an address that results must not be sent to.

        seed: 32 bytes, the private key.
        """
        self._parts = _parsed(address)
        self._seed = seed

    @property
    def audience(self) -> str:
        """The origin of the address."""
        return f"{self._parts.scheme}://{self.host}"

    @property
    def host(self) -> str:
        """The name that visitors know."""
        return self._parts.netloc

    def address_of(self, person: str, basis: str | None, state: str | None) -> str:
        """The address that a signed-in visitor goes on to.

        basis: what the sign-in rests on. state: as the caller gave it, see `require_state`.
        """
        more = {PARAMETER: self._signed(person, basis, state)}
        if state:
            more["state"] = state
        kept = parse_qsl(self._parts.query, keep_blank_values=True)
        theirs = [(name, value) for name, value in kept if name not in (PARAMETER, "state")]
        query = urlencode([*theirs, *more.items()])
        return self._parts._replace(query=query).geturl()

    def public_keys(self) -> dict[str, Any]:
        """The public key as a JWK set (RFC 7517)."""
        named = {"kid": self._key_id, "alg": "EdDSA", "use": "sig"}
        return {"keys": [{**self._public_key, **named}]}

    def _signed(self, person: str, basis: str | None, state: str | None) -> str:
        now_s = int(time())
        header = {"alg": "EdDSA", "typ": "JWT", "kid": self._key_id}
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": self.audience,
            "sub": person,
            "amr": ["face"],
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
        }
        claims |= {name: value for name, value in (("basis", basis), ("nonce", state)) if value}
        text = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        return f"{text}.{_base64(self._key.sign(text.encode()))}"

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed)

    @cached_property
    def _public_key(self) -> dict[str, str]:
        point = self._key.public_key().public_bytes_raw()
        return {"crv": "Ed25519", "kty": "OKP", "x": _base64(point)}

    @cached_property
    def _key_id(self) -> str:
        """The thumbprint of the key (RFC 7638)."""
        text = json.dumps(self._public_key, separators=(",", ":"), sort_keys=True)
        return _base64(sha256(text.encode()).digest())


def require_state(state: str | None) -> str | None:
    """The caller's state, unchanged. Raises UsageProblem for one that is not URL-safe or long."""
    if state is not None and not STATE.fullmatch(state):
        advice = "give up to 200 letters, digits, and . _ ~ -"
        raise malformed("the state cannot be used", advice)
    return state


def _parsed(address: str) -> SplitResult:
    """The parts of the address. Raises UsageProblem unless it is HTTPS or on this machine."""
    parts, host = urlsplit(""), None
    with suppress(ValueError):
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    if host is None or parts.username is not None or parts.fragment or not address.isascii():
        advice = "give one like https://example.org/signed-in"
        message = f"{shown(address)} is not an address to go on to"
        raise UsageProblem(Reason("server.on_success", message, advice))
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        message = f"a result must not cross a network unencrypted to {shown(address)}"
        raise UsageProblem(Reason("server.on_success", message, "give an https address"))
    return parts


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
