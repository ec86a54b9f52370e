"""The routes: who may ask, what is read of a request, and which job answers it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import FastAPI, Request, Response, Security
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from facauth import __version__
from facauth.envelope import Answer
from facauth.errors import FacauthError, Reason, UsageProblem
from facauth.web import jobs
from facauth.web.access import Access, Buckets, client_of
from facauth.web.answers import Json, Reply, failed, public, refused
from facauth.web.body import Bodies
from facauth.web.contract import API, Route, responses
from facauth.web.door import NUMBER, PROBLEM, Counts, Door, Log
from facauth.web.form import Form
from facauth.web.jobs import Upload
from facauth.web.pages import Pages
from facauth.web.refusals import forbidden, status_of
from facauth.web.site import Site
from facauth.web.work import Workers

OPERATOR = HTTPBearer(
    scheme_name="operator", description="The token that `facauth token` prints.", auto_error=False
)
PREVIEWS = 2  # for each try of a client: a camera asks once a second what the photo lacks


def make_app(site: Site, workers: Workers, log: Log) -> FastAPI:
    """The server's application; `workers` are entered by who runs it."""
    counts = Counts()
    app = FastAPI(
        title="facauth",
        version=__version__,
        description="Sign people in by a photo of their face; refuse photos of photos.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # ours is a route as any other, with a name in the log
        redirect_slashes=False,
    )
    app.add_middleware(Door, log=log, counts=counts)
    Desk(site, workers, counts, app).open()
    return app


class Desk:
    """Takes requests in, has workers do the job, and hands the answers out."""

    def __init__(self, site: Site, workers: Workers, counts: Counts, app: FastAPI) -> None:
        self._site, self._workers, self._counts, self._app = site, workers, counts, app
        self._access = Access(site)
        self._tries = Buckets(site.per_minute, site.limits.max_clients)
        self._previews = Buckets(PREVIEWS * site.per_minute, site.limits.max_clients)
        self._bodies = Bodies(site.limits)
        self._pages = Pages()

    def open(self) -> None:
        """Add every route, and what becomes of every refusal."""
        answers: dict[str, Callable[..., object]] = {
            "sign-in": self.sign_in,
            "quality": self.quality,
            "register": self.register,
            "spoof-check": self.spoof_check,
            "list": self.people,
            "remove": self.remove,
            "session": self.begin_session,
            "session-end": self.end_session,
        }
        for route in API:
            self._add(route, answers[route.command])
        pages: dict[str, Callable[..., object]] = {
            "/": self.page,
            **dict.fromkeys(self._pages.files, self.file),
            "/docs": self.docs,
            "/openapi.json": self.document,
        }
        for path, page in pages.items():
            self._app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
        text = partial(self._app.add_api_route, response_class=PlainTextResponse)
        text("/healthz", self.health)
        text("/healthz", self.health, methods=["HEAD"], include_in_schema=False)
        text("/metrics", self.metrics, responses=responses(403))
        self._app.add_exception_handler(FacauthError, self.refuse)
        self._app.add_exception_handler(HTTPException, self.lose)

    def _add(self, route: Route, answer: Callable[..., object]) -> None:
        """With and without a slash at its end, and no redirect from one to the other."""
        for path in {route.path, route.path.rstrip("/")}:
            self._app.add_api_route(
                path,
                answer,
                methods=[route.method],
                name=route.command,
                summary=route.summary,
                response_model=None,
                responses=responses(*route.statuses),
                openapi_extra=route.form,
                dependencies=[Security(OPERATOR)] if route.operator else [],
                include_in_schema=path == route.path,
            )

    # --- what everybody may do -------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """The page with its forms."""
        return HTMLResponse(self._pages.page(self._csrf(request)))

    async def file(self, request: Request) -> Response:
        """What the pages are made of."""
        content, kind = self._pages.files[request.url.path]
        return Response(content, media_type=kind)

    async def document(self) -> Response:
        """The OpenAPI document."""
        return Json(self._app.openapi())

    async def docs(self) -> Response:
        """The OpenAPI document, to be read."""
        return HTMLResponse(self._pages.docs(self._app.openapi()))

    async def health(self) -> str:
        """Whether this process answers."""
        return "ok\n"

    async def metrics(self, request: Request) -> Response:
        """How many requests there were, and how long they took; no business of the internet's."""
        self._access.require_own(request.headers)
        if self._site.secure:
            self._access.require_operator(request.headers, request.cookies)
        return Response(generate_latest(self._counts.registry), media_type=CONTENT_TYPE_LATEST)

    async def sign_in(self, request: Request) -> Response:
        """Who is in the photo, or: is it the person that is named."""
        self._admit(request)
        return await self._work(request, jobs.sign_in)

    async def quality(self, request: Request) -> Response:
        """What a photo lacks; asked again and again while a camera is open."""
        self._admit(request, self._previews)
        return await self._work(request, jobs.quality, preview=True)

    async def begin_session(self, request: Request) -> Response:
        """The operator's token becomes a session of this browser."""
        self._admit(request)
        form = await self._small_form(request)
        if not self._access.is_token(form.required("token").strip()):
            advice = "see what facauth token prints"
            raise forbidden("operator.token", "that is not the operator's token", advice)
        response = self._session_reply(request, "began")
        response.set_cookie(
            self._access.cookie,
            self._access.new_session(),
            max_age=self._site.limits.session_s,
            httponly=True,
            secure=self._site.secure,
            samesite="strict",
        )
        return response

    # --- what the operator may do ----------------------------------------------------------------

    async def end_session(self, request: Request) -> Response:
        """The browser forgets its session."""
        session = self._operator(request)
        form = await self._small_form(request)
        self._access.require_meant(session, form.text("csrf"))
        response = self._session_reply(request, "ended")
        response.delete_cookie(self._access.cookie, secure=self._site.secure, httponly=True)
        return response

    async def register(self, request: Request) -> Response:
        """Enrol a person, or add a photo to one."""
        allowed = partial(self._access.require_meant, self._operator(request))
        return await self._work(request, partial(jobs.register, allowed=allowed))

    async def spoof_check(self, request: Request) -> Response:
        """Tell a live face from a photo of one."""
        allowed = partial(self._access.require_meant, self._operator(request))
        return await self._work(request, partial(jobs.spoof_check, allowed=allowed))

    async def people(self, request: Request) -> Response:
        """List who is enrolled."""
        self._access.require_operator(request.headers, request.cookies)
        return self._reply(request, await self._workers.run(partial(jobs.list_people, self._site)))

    async def remove(self, request: Request, name: str) -> Response:
        """Delete a person, whose name may have slashes in it."""
        if not name:
            raise HTTPException(405, headers={"Allow": "GET"})
        session = self._operator(request)
        self._access.require_meant(session, request.headers.get("x-csrf-token"))
        return self._reply(request, await self._workers.run(partial(jobs.remove, self._site, name)))

    # --- in and out ------------------------------------------------------------------------------

    def _admit(self, request: Request, buckets: Buckets | None = None) -> None:
        """Raises Forbidden for a request that another site sent, LockedOut for too many."""
        self._access.require_own(request.headers)
        (buckets or self._tries).take(self._client(request))

    def _client(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        said = request.headers.getlist("x-forwarded-for") if self._site.behind_proxy else []
        return client_of(peer, said)

    def _operator(self, request: Request) -> str:
        """The session, or "" for the token; asked before anything is read. Raises Forbidden."""
        self._admit(request)
        return self._access.require_operator(request.headers, request.cookies)

    async def _work(
        self, request: Request, job: Callable[..., Reply], *, preview: bool = False
    ) -> Response:
        """Read the body, and have a worker do the rest."""
        kind = request.headers.get("content-type", "")
        most_bytes = self._site.limits.max_body_bytes
        async with self._bodies.body(request, most_bytes, self._client(request)) as body:
            asked = partial(job, self._site, Upload(kind, body))
            reply = await self._workers.run(asked, preview=preview)
        return self._reply(request, reply)

    async def _small_form(self, request: Request) -> Form:
        kind, limits = request.headers.get("content-type", ""), self._site.limits
        client = self._client(request)
        async with self._bodies.body(request, limits.max_small_body_bytes, client) as body:
            return Form.parse(kind, body, limits)

    def _csrf(self, request: Request) -> str | None:
        """What the page's forms send along; None where nobody is the operator."""
        session = self._access.session(request.cookies)
        return self._access.csrf(session) if session else None

    def _session_reply(self, request: Request, verdict: str) -> Response:
        """A browser goes back to the page, without asking for the form again on a reload."""
        if _is_browser(request):
            return RedirectResponse("/", 303)
        answer = Answer("session", verdict=verdict)
        return self._reply(request, Reply(200, public(answer)))

    def _reply(self, request: Request, reply: Reply) -> Response:
        """As JSON, or to a browser as a page."""
        if not _is_browser(request):
            return Json(reply.body, reply.status, reply.headers)
        page = self._pages.page(self._csrf(request), reply.body)
        return HTMLResponse(page, reply.status, reply.headers)

    async def refuse(self, request: Request, refusal: Exception) -> Response:
        """What was refused before a job began, or is wrong here."""
        assert isinstance(refusal, FacauthError)  # noqa: S101 - what it is registered for
        command = getattr(request.scope.get("route"), "name", None)
        if status_of(refusal) == 500:
            request.scope[PROBLEM] = str(refusal)
            reply = failed(command, request.scope[NUMBER])
        else:
            reply = refused(refusal, Answer(command))
        return self._reply(request, reply)

    async def lose(self, request: Request, error: Exception) -> Response:
        """No such page, or not by this method."""
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
        if error.status_code == 405 and request.method == "GET" and _is_browser(request):
            return RedirectResponse("/", 303)  # a form's answer was shown at this address
        reason = Reason(f"http.{error.status_code}", error.detail.lower(), "see /docs")
        answer = Answer(None)
        answer.refuse(UsageProblem(reason))
        return self._reply(
            request, Reply(error.status_code, public(answer), dict(error.headers or {}))
        )


def _is_browser(request: Request) -> bool:
    """Scripts and programs do not ask for HTML."""
    return "text/html" in request.headers.get("accept", "")
