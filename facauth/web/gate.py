"""The gate before every route: who is let through to it, and what of the request comes along.

It is a dependency of the whole application, so a route that says nothing is the operator's alone,
and changes nothing for a session whose page did not send it. `admits` is how a route says more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from enum import Enum, auto
from typing import Any, TypeVar

from fastapi import Request

from facauth.web.access import Access, Buckets, client_of
from facauth.web.form import Form, Forms
from facauth.web.site import Site

PREVIEWS = 2  # for each try of a client: a camera asks once a second what the photo lacks
SAFE = {"GET", "HEAD"}  # nothing is changed by them
Handler = TypeVar("Handler", bound=Callable[..., object])


class Who(Enum):
    """Who may ask for a route, and what it is counted as."""

    OPERATOR = auto()  # a try, as is each of another who is not
    TRYING = auto()
    PREVIEWING = auto()
    LOOKING = auto()  # anybody, from wherever, as often as they like


def admits(who: Who) -> Callable[[Handler], Handler]:
    """Says of a handler who may ask for its routes."""

    def said(handler: Handler) -> Handler:
        vars(handler)["admits"] = who
        return handler

    return said


def who_may(handler: Callable[..., object]) -> Who:
    """Who may ask for the routes of a handler: the operator, unless it says otherwise."""
    who: Who = getattr(handler, "admits", Who.OPERATOR)
    return who


class Gate:
    """Lets requests through, and forgets their forms when they are answered."""

    def __init__(self, site: Site, access: Access) -> None:
        self._site, self._access = site, access
        self._tries = Buckets(site.per_minute, site.limits.max_clients)
        self._previews = Buckets(PREVIEWS * site.per_minute, site.limits.max_clients)
        self._forms = Forms(site.limits)

    async def admit(self, request: Request) -> AsyncIterator[None]:
        """One request, whose form is then `request.state.form`.

        Nothing is read of it before it is known who asks. Raises Forbidden, LockedOut for too many
        requests of one client, and as Forms.read does.
        """
        route, session = request.scope["route"], ""
        who = who_may(route.endpoint)
        if who is not Who.LOOKING:
            self._access.require_own(request.headers)
            buckets = self._previews if who is Who.PREVIEWING else self._tries
            buckets.take(self.client(request))
        if who is Who.OPERATOR:
            session = self._access.require_operator(request.headers, request.cookies)
        async with self._form(request, route.openapi_extra or {}) as form:
            if session and request.method not in SAFE:
                given = request.headers.get("x-csrf-token") or form.text("csrf")
                self._access.require_meant(session, given)
            request.state.form = form
            yield

    def client(self, request: Request) -> str:
        """Whom the request is counted against."""
        peer = request.client.host if request.client else ""
        said = request.headers.getlist("x-forwarded-for") if self._site.behind_proxy else []
        return client_of(peer, said)

    def _form(
        self, request: Request, documented: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[Form]:
        """Of the kind that the route documents; where it documents none, nothing is read."""
        kinds = documented.get("requestBody", {}).get("content", {})
        if not kinds:
            return nullcontext(Form())
        return self._forms.read(request, kinds, self.client(request))
