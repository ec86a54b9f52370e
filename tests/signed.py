"""A caller's check of a signed result, without any code of facauth."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def checked(token: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The claims, checked as docs/how-to/server.md says; raises InvalidSignature."""
    header, claims, signature = token.split(".")
    (key,) = keys["keys"]
    named = json.loads(decoded(header))
    assert (named["alg"], named["kid"]) == ("EdDSA", key["kid"])
    public = Ed25519PublicKey.from_public_bytes(decoded(key["x"]))
    public.verify(decoded(signature), f"{header}.{claims}".encode())
    found: dict[str, Any] = json.loads(decoded(claims))
    return found
