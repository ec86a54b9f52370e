"""The application: its routes and their handlers. Who may call a handler is in guard.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
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
from facauth.web.answers import JsonLine, Reply, fault_reply, public_envelope, refusal_reply
from facauth.web.form import Form
from facauth.web.guard import Admission, Guard, admission_of, admits
from facauth.web.middleware import PROBLEM, REQUEST_ID, Log, Metrics, RequestMiddleware
from facauth.web.openapi import API, FOR_OPERATORS, Route, responses
from facauth.web.pages import Pages
from facauth.web.refusals import forbidden, status_of
from facauth.web.results import require_state
from facauth.web.site import Site
from facauth.web.workers import Workers

OPERATOR_PAGE = "/operator/"
OPERATOR = HTTPBearer(
    scheme_name="operator",
    description="The token that `facauth serve --token` prints.",
    auto_error=False,
)


def make_app(site: Site, workers: Workers, log: Log) -> FastAPI:
    """The server's application. The caller enters `workers` before the first request."""
    guard, metrics = Guard(site), Metrics()
    app = FastAPI(
        title="facauth",
        version=__version__,
        description="Sign people in by a photo of their face; refuse photos of photos.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # a route below serves it, with a name in the log
        redirect_slashes=False,
        dependencies=[Depends(guard.admit, scope="function")],
    )
    app.add_middleware(RequestMiddleware, log=log, metrics=metrics, secure=site.tls is not None)
    Handlers(site, workers, app, guard, metrics).add_routes()
    return app


class Handlers:
    """The handlers of all routes, and of all refusals."""

    def __init__(
        self, site: Site, workers: Workers, app: FastAPI, guard: Guard, metrics: Metrics
    ) -> None:
        self._site, self._workers, self._app = site, workers, app
        self._guard, self._access, self._metrics = guard, guard.access, metrics
        self._pages = Pages(site)

    def add_routes(self) -> None:
        """Add every route and every exception handler to the application."""
        handlers: dict[str, Callable[..., object]] = {
            "challenge": self.challenge,
            "sign-in": self.sign_in,
            "quality": self.quality,
            "register": self.register,
            "spoof-check": self.spoof_check,
            "list": self.list_people,
            "remove": self.remove,
            "log": self.log,
            "unlock": self.unlock,
            "session": self.begin_session,
            "session-end": self.end_session,
        }
        for route in API:
            self._add(route, handlers[route.command])
        pages: dict[str, Callable[..., object]] = {
            "/": self.page,
            "/operator": self.operator,
            "/operator/": self.operator,
            "/.well-known/jwks.json": self.public_keys,
            **dict.fromkeys(self._pages.files, self.file),
            "/docs": self.docs,
            "/openapi.json": self.openapi,
        }
        for path, handler in pages.items():
            self._app.add_api_route(path, handler, methods=["GET", "HEAD"], include_in_schema=False)
        text = partial(self._app.add_api_route, response_class=PlainTextResponse)
        text("/healthz", self.health)
        text("/healthz", self.health, methods=["HEAD"], include_in_schema=False)
        metrics = self.metrics if self._site.secure else self.metrics_on_loopback
        text("/metrics", metrics, responses=responses(403, 429))
        self._app.add_exception_handler(FacauthError, self.refuse)
        self._app.add_exception_handler(HTTPException, self.http_error)

    def _add(self, route: Route, handler: Callable[..., object]) -> None:
        """Add a route with and without a slash at its end, without a redirect between them."""
        for_operator = admission_of(handler) is Admission.OPERATOR
        for path in {route.path, route.path.rstrip("/")}:
            self._app.add_api_route(
                path,
                handler,
                methods=[route.method],
                name=route.command,
                summary=route.summary,
                response_model=None,
                responses=responses(*route.statuses),
                openapi_extra=route.form,
                dependencies=[Security(OPERATOR)] if for_operator else [],
                include_in_schema=path == route.path,
            )

    # --- for everybody ---------------------------------------------------------------------------

    @admits(Admission.PUBLIC)
    async def page(self, request: Request) -> Response:
        """The page on which everybody signs in."""
        state = require_state(request.query_params.get("state"))
        return HTMLResponse(self._pages.sign_in(state=state))

    @admits(Admission.PUBLIC)
    async def operator(self, request: Request) -> Response:
        """The page of the operator; it asks for the token where there is no session."""
        csrf = self._csrf_token(request)
        if csrf is None:
            return HTMLResponse(self._pages.operator(None))
        self._access.require_same_site(request.headers)
        query = request.query_params.get("q", "")
        job = partial(jobs.overview, self._site, query=query)
        reply = await self._workers.run(job, self._guard.client(request))
        if not reply.body["ok"]:
            return self._response(request, reply)
        return HTMLResponse(self._pages.operator(csrf, overview=reply.body))

    @admits(Admission.PUBLIC)
    async def public_keys(self) -> Response:
        """The key by which callers check the results of sign-ins."""
        if self._site.results is None:
            raise HTTPException(404)
        return JsonLine(self._site.results.public_keys())

    @admits(Admission.PUBLIC)
    async def file(self, request: Request) -> Response:
        """Style, scripts and icon of the pages."""
        content, media_type = self._pages.files[request.url.path]
        return Response(content, media_type=media_type)

    @admits(Admission.PUBLIC)
    async def openapi(self) -> Response:
        """The OpenAPI document."""
        return JsonLine(self._app.openapi())

    @admits(Admission.PUBLIC)
    async def docs(self, request: Request) -> Response:
        """The OpenAPI document as a page."""
        origin = f"{'https' if self._site.secure else 'http'}://{request.headers.get('host', '')}"
        return HTMLResponse(self._pages.docs(self._app.openapi(), origin))

    @admits(Admission.PUBLIC)
    async def health(self) -> str:
        """Whether this process answers."""
        return "ok\n"

    @admits(Admission.ATTEMPT)
    async def metrics_on_loopback(self) -> Response:
        """The metrics of a server that only this machine reaches."""
        return await self.metrics()

    @admits(Admission.ATTEMPT)
    async def challenge(self, request: Request) -> Response:
        """Draw the movements that the next sign-in must show."""
        return await self._run_on_form(request, jobs.challenge)

    @admits(Admission.ATTEMPT)
    async def sign_in(self, request: Request) -> Response:
        """Identify the person in the photo, or verify the claimed name."""
        return await self._run_on_form(request, jobs.sign_in)

    @admits(Admission.PREVIEW)
    async def quality(self, request: Request) -> Response:
        """Check the quality of a photo; open cameras send one every second."""
        return await self._run_on_form(request, jobs.quality, preview=True)

    @admits(Admission.ATTEMPT)
    async def begin_session(self, request: Request) -> Response:
        """Give the browser a session in exchange for the operator's token."""
        if not self._access.is_token(request.state.form.required("token").strip()):
            advice = "see what facauth serve --token prints"
            raise forbidden("operator.token", "that is not the operator's token", advice)
        response = self._session_response(request, "began")
        response.set_cookie(
            self._access.cookie,
            self._access.new_session(),
            max_age=self._site.limits.session_s,
            httponly=True,
            secure=self._site.secure,
            samesite="strict",
        )
        return response

    # --- for the operator ------------------------------------------------------------------------

    async def metrics(self) -> Response:
        """Number and duration of requests, for Prometheus."""
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def end_session(self, request: Request) -> Response:
        """End the browser's session on the server, and delete its cookie."""
        session = self._access.session_of(request.cookies)
        if session:
            self._access.end_session(session)
        response = self._session_response(request, "ended")
        response.delete_cookie(self._access.cookie, secure=self._site.secure, httponly=True)
        return response

    async def register(self, request: Request) -> Response:
        """Enrol a person, or add a photo to one."""
        return await self._run_on_form(request, jobs.register)

    async def spoof_check(self, request: Request) -> Response:
        """Tell a live face from a photo of one."""
        return await self._run_on_form(request, jobs.spoof_check)

    async def list_people(self, request: Request) -> Response:
        """List the enrolled people; browsers have a page for that."""
        if _is_browser(request):
            return RedirectResponse(OPERATOR_PAGE, 303)
        return await self._run(request, jobs.list_people)

    async def log(self, request: Request) -> Response:
        """The latest entries of the log; browsers have a page for that."""
        if _is_browser(request):
            return RedirectResponse(OPERATOR_PAGE, 303)
        return await self._run(request, jobs.log)

    async def unlock(self, request: Request) -> Response:
        """Forget the failed sign-ins of a person, or of those without a name."""
        return await self._run_on_form(request, jobs.unlock)

    async def remove(self, request: Request, name: str) -> Response:
        """Delete a person; the name may contain slashes."""
        if not name:
            raise HTTPException(405, headers={"Allow": "GET"})
        return await self._run(request, partial(jobs.remove, name=name))

    # --- requests and responses ------------------------------------------------------------------

    async def _run_on_form(
        self, request: Request, job: Callable[..., Reply], *, preview: bool = False
    ) -> Response:
        """Have a worker run a job on the request's form."""
        return await self._run(request, partial(job, form=request.state.form), preview=preview)

    async def _run(
        self, request: Request, job: Callable[..., Reply], *, preview: bool = False
    ) -> Response:
        """Have a worker run a job."""
        bound_job, client = partial(job, self._site), self._guard.client(request)
        reply = await self._workers.run(bound_job, client, preview=preview)
        if reply.status == 503:  # clients wait, and the operator learns for what
            request.scope[PROBLEM] = " ".join(reason["code"] for reason in reply.body["reasons"])
        return self._response(request, reply)

    def _csrf_token(self, request: Request) -> str | None:
        """The CSRF token for the page's forms; None for everybody but the operator."""
        session = self._access.session_of(request.cookies)
        return self._access.csrf_token(session) if session else None

    def _session_response(self, request: Request, verdict: str) -> Response:
        """A redirect for browsers, so that a reload does not send the form again; else JSON."""
        if _is_browser(request):
            return RedirectResponse(OPERATOR_PAGE, 303)
        answer = Answer("session", verdict=verdict)
        return self._response(request, Reply(200, public_envelope(answer)))

    def _response(self, request: Request, reply: Reply) -> Response:
        """A page for browsers; else JSON."""
        if not _is_browser(request):
            return JsonLine(reply.body, reply.status, reply.headers)
        if _command(request) in FOR_OPERATORS:
            page = self._pages.operator(self._csrf_token(request), reply)
        else:
            page = self._pages.sign_in(reply, _state_of(request))
        return HTMLResponse(page, reply.status, reply.headers)

    async def refuse(self, request: Request, refusal: Exception) -> Response:
        """The response to a refusal before the job began, or to a fault of this server."""
        assert isinstance(refusal, FacauthError)  # noqa: S101 - what it is registered for
        command = _command(request)
        if status_of(refusal) == 500:
            request.scope[PROBLEM] = " ".join(reason.code for reason in refusal.reasons)
            reply = fault_reply(command, request.scope[REQUEST_ID])
        else:
            reply = refusal_reply(refusal, Answer(command))
        return self._response(request, reply)

    async def http_error(self, request: Request, error: Exception) -> Response:
        """The response where no route has this path, or none has this method."""
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
        if error.status_code == 405 and request.method == "GET" and _is_browser(request):
            # The reload of an address that answered a form.
            return RedirectResponse(OPERATOR_PAGE if _is_operators(request) else "/", 303)
        answer = Answer(None)
        reason = Reason(f"http.{error.status_code}", error.detail.lower(), "see /docs")
        answer.refuse(UsageProblem(reason))
        headers = dict(error.headers or {})
        return self._response(request, Reply(error.status_code, public_envelope(answer), headers))


def _command(request: Request) -> str | None:
    """The command of the route; None where no route has this path."""
    return getattr(request.scope.get("route"), "name", None)


def _state_of(request: Request) -> str | None:
    """The caller's state in the request's form; None where it has none or cannot be used."""
    form = getattr(request.state, "form", Form())
    with suppress(UsageProblem):
        return require_state(form.text("state"))
    return None


def _is_operators(request: Request) -> bool:
    """Whether a route with another method than the request's is one of the operator's."""
    paths = {route.path.rstrip("/") for route in API if route.command in FOR_OPERATORS}
    return request.url.path.rstrip("/") in paths


def _is_browser(request: Request) -> bool:
    """Whether the client asks for HTML, as scripts and programs do not."""
    return "text/html" in request.headers.get("accept", "")
