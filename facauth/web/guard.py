"""The check before every route: who may call it, how often, and with which form.

It is a dependency of the whole application. A route that says nothing is for the operator alone,
and a session changes nothing through it without the CSRF token of its page. `admits` opens a route.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from enum import Enum, auto
from typing import Any, TypeVar

from fastapi import Request

from facauth.web.access import Access, RateLimit, client_address
from facauth.web.form import Form, Forms
from facauth.web.site import Site

PREVIEWS_PER_ATTEMPT = 2  # an open camera sends a preview every second
SAFE_METHODS = {"GET", "HEAD"}  # they change nothing
Handler = TypeVar("Handler", bound=Callable[..., object])


class Admission(Enum):
    """Who may call a route, and which limit the call counts against."""

    OPERATOR = auto()  # the operator; each call is an attempt, refused ones too
    ATTEMPT = auto()  # anybody on this site, `per_minute` times
    PREVIEW = auto()  # anybody on this site, PREVIEWS_PER_ATTEMPT times as often
    PUBLIC = auto()  # anybody, from any site, without a limit


def admits(admission: Admission) -> Callable[[Handler], Handler]:
    """Declare who may call the routes of a handler."""

    def declared(handler: Handler) -> Handler:
        vars(handler)["admission"] = admission
        return handler

    return declared


def admission_of(handler: Callable[..., object]) -> Admission:
    """Who may call the routes of a handler: the operator, unless `admits` says otherwise."""
    admission: Admission = getattr(handler, "admission", Admission.OPERATOR)
    return admission


class Guard:
    """Admits requests, and holds their forms until they are answered."""

    def __init__(self, site: Site) -> None:
        self._site, self.access = site, Access(site)
        self._attempts = RateLimit(site.per_minute, site.limits.max_clients)
        previews_per_minute = PREVIEWS_PER_ATTEMPT * site.per_minute
        self._previews = RateLimit(previews_per_minute, site.limits.max_clients)
        self._forms = Forms(site.limits)

    async def admit(self, request: Request) -> AsyncIterator[None]:
        """Admit one request; its form is then `request.state.form`.

        The body is read last, when the caller is known. Raises Forbidden, LockedOut for too many
        requests of one client, and what Forms.read raises.
        """
        route, session = request.scope["route"], ""
        admission = admission_of(route.endpoint)
        if admission is not Admission.PUBLIC:
            self.access.require_same_site(request.headers)
            limit = self._previews if admission is Admission.PREVIEW else self._attempts
            limit.take(self.client(request))
        if admission is Admission.OPERATOR:
            session = self.access.require_operator(request.headers, request.cookies)
        async with self._form(request, route.openapi_extra or {}) as form:
            if session and request.method not in SAFE_METHODS:
                token = request.headers.get("x-csrf-token") or form.text("csrf")
                self.access.require_csrf_token(session, token)
            request.state.form = form
            yield

    def client(self, request: Request) -> str:
        """The address that the request counts against."""
        peer = request.client.host if request.client else ""
        proxied = self._site.behind_proxy
        return client_address(peer, request.headers.getlist("x-forwarded-for") if proxied else [])

    def _form(
        self, request: Request, documented: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[Form]:
        """The form of a media type that the route documents; without one, no body is read."""
        media_types = documented.get("requestBody", {}).get("content", {})
        if not media_types:
            return nullcontext(Form())
        return self._forms.read(request, media_types, self.client(request))
