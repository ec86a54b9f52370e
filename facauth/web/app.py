"""The routes, and which job answers each of them; who may ask is a matter of the gate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from facauth import __version__
from facauth.envelope import Answer
from facauth.errors import FacauthError, Reason, UsageProblem
from facauth.web import jobs
from facauth.web.access import Access
from facauth.web.answers import Json, Reply, failed, public, refused
from facauth.web.contract import API, Route, responses
from facauth.web.door import NUMBER, PROBLEM, Counts, Door, Log
from facauth.web.gate import Gate, Who, admits, who_may
from facauth.web.pages import Pages
from facauth.web.refusals import forbidden, status_of
from facauth.web.site import Site
from facauth.web.work import Workers

OPERATOR = HTTPBearer(
    scheme_name="operator",
    description="The token that `facauth serve --token` prints.",
    auto_error=False,
)


def make_app(site: Site, workers: Workers, log: Log) -> FastAPI:
    """The server's application; `workers` are entered by who runs it."""
    counts, access = Counts(), Access(site)
    gate = Gate(site, access)
    app = FastAPI(
        title="facauth",
        version=__version__,
        description="Sign people in by a photo of their face; refuse photos of photos.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # ours is a route as any other, with a name in the log
        redirect_slashes=False,
        dependencies=[Depends(gate.admit, scope="function")],
    )
    app.add_middleware(Door, log=log, counts=counts, secure=site.tls is not None)
    Desk(site, workers, counts, app, access, gate).open()
    return app


class Desk:
    """Takes requests in, has workers do the job, and hands the answers out."""

    def __init__(
        self,
        site: Site,
        workers: Workers,
        counts: Counts,
        app: FastAPI,
        access: Access,
        gate: Gate,
    ) -> None:
        self._site, self._workers, self._counts, self._app = site, workers, counts, app
        self._access, self._gate = access, gate
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
        metrics = self.metrics if self._site.secure else self.metrics_here
        text("/metrics", metrics, responses=responses(403, 429))
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
                dependencies=[Security(OPERATOR)] if who_may(answer) is Who.OPERATOR else [],
                include_in_schema=path == route.path,
            )

    # --- what everybody may do -------------------------------------------------------------------

    @admits(Who.LOOKING)
    async def page(self, request: Request) -> Response:
        """The page with its forms."""
        return HTMLResponse(self._pages.page(self._csrf(request)))

    @admits(Who.LOOKING)
    async def file(self, request: Request) -> Response:
        """What the pages are made of."""
        content, kind = self._pages.files[request.url.path]
        return Response(content, media_type=kind)

    @admits(Who.LOOKING)
    async def document(self) -> Response:
        """The OpenAPI document."""
        return Json(self._app.openapi())

    @admits(Who.LOOKING)
    async def docs(self) -> Response:
        """The OpenAPI document, to be read."""
        return HTMLResponse(self._pages.docs(self._app.openapi()))

    @admits(Who.LOOKING)
    async def health(self) -> str:
        """Whether this process answers."""
        return "ok\n"

    @admits(Who.TRYING)
    async def metrics_here(self) -> Response:
        """The same, where nobody but this machine can ask."""
        return await self.metrics()

    @admits(Who.TRYING)
    async def sign_in(self, request: Request) -> Response:
        """Who is in the photo, or: is it the person that is named."""
        return await self._work(request, jobs.sign_in)

    @admits(Who.PREVIEWING)
    async def quality(self, request: Request) -> Response:
        """What a photo lacks; asked again and again while a camera is open."""
        return await self._work(request, jobs.quality, preview=True)

    @admits(Who.TRYING)
    async def begin_session(self, request: Request) -> Response:
        """The operator's token becomes a session of this browser."""
        if not self._access.is_token(request.state.form.required("token").strip()):
            advice = "see what facauth serve --token prints"
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

    async def metrics(self) -> Response:
        """How many requests there were, and how long they took; no business of the internet's."""
        return Response(generate_latest(self._counts.registry), media_type=CONTENT_TYPE_LATEST)

    async def end_session(self, request: Request) -> Response:
        """The session of this browser is none any more, and the browser forgets it."""
        session = self._access.session(request.cookies)
        if session:
            self._access.end(session)
        response = self._session_reply(request, "ended")
        response.delete_cookie(self._access.cookie, secure=self._site.secure, httponly=True)
        return response

    async def register(self, request: Request) -> Response:
        """Enrol a person, or add a photo to one."""
        return await self._work(request, jobs.register)

    async def spoof_check(self, request: Request) -> Response:
        """Tell a live face from a photo of one."""
        return await self._work(request, jobs.spoof_check)

    async def people(self, request: Request) -> Response:
        """List who is enrolled."""
        return await self._done(request, jobs.list_people)

    async def remove(self, request: Request, name: str) -> Response:
        """Delete a person, whose name may have slashes in it."""
        if not name:
            raise HTTPException(405, headers={"Allow": "GET"})
        return await self._done(request, partial(jobs.remove, name=name))

    # --- in and out ------------------------------------------------------------------------------

    async def _work(
        self, request: Request, job: Callable[..., Reply], *, preview: bool = False
    ) -> Response:
        """Have a worker look at the form."""
        return await self._done(request, partial(job, form=request.state.form), preview=preview)

    async def _done(
        self, request: Request, job: Callable[..., Reply], *, preview: bool = False
    ) -> Response:
        """Have a worker do it."""
        asked, client = partial(job, self._site), self._gate.client(request)
        return self._reply(request, await self._workers.run(asked, client, preview=preview))

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
