"""serve."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facauth.cli.bound import key_access, policy_of, rate_of, store_path
from facauth.cli.options import Call, Fmr, Policy, named
from facauth.cli.output import answering, complain
from facauth.defaults import default_token_file, weight_memory
from facauth.errors import ExitCode, Reason, SetupProblem, UsageProblem

if TYPE_CHECKING:
    from facauth.envelope import Answer
    from facauth.web.results import Results
    from facauth.web.site import Site

MAX_WORKERS = 8  # by default
Host = Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")]
Port = Annotated[
    int, typer.Option(metavar="N", min=0, max=65535, help="The port to listen on; 0 for any.")
]
BehindProxy = Annotated[
    bool,
    typer.Option(
        "--behind-proxy",
        help="Trust X-Forwarded-For of a proxy with HTTPS, through which all requests come.",
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", metavar="PEM", help="Serve HTTPS with this certificate chain.", parser=named
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option("--tls-key", metavar="PEM", help="The private key of --tls-cert.", parser=named),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        metavar="N",
        help="Photos judged in parallel; default: one per processor, up to 8.",
        show_default=False,
    ),
]
PerMinute = Annotated[
    int,
    typer.Option(
        "--per-minute",
        min=1,
        max=1_000_000,
        metavar="N",
        help="Requests that one client may make per minute.",
    ),
]
OnSuccess = Annotated[
    str | None,
    typer.Option(
        "--on-success",
        metavar="URL",
        help="After a sign-in, the page goes on to URL with a signed result.",
        show_default=False,
    ),
]
Kiosk = Annotated[
    bool,
    typer.Option("--kiosk", help="After a result, the page returns to its start by itself."),
]
Token = Annotated[
    bool,
    typer.Option(
        "--token", help="Print the operator's token and exit; create it if there is none."
    ),
]


def serve(
    call: Call,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    behind_proxy: BehindProxy = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    workers: Workers = None,
    per_minute: PerMinute = 120,
    fmr: Fmr = None,
    policy: Policy = None,
    on_success: OnSuccess = None,
    kiosk: Kiosk = False,
    token: Token = False,
) -> None:
    """Serve the web page and the HTTP API until Ctrl-C or SIGTERM.

    The page / signs people in, the page /operator/ registers them, the page /docs describes the
    API. Everybody may sign in; everything else needs the operator's token. To rotate the token,
    delete its file and restart the server. The old token then stops working. No picture is stored.

    --on-success sends signed-in visitors to URL with a result that lasts 60 s. The page
    /.well-known/jwks.json has the public key of results.

    Example: facauth serve --tls-cert chain.pem --tls-key key.pem
    """
    with answering(call) as answer:
        if token:
            print_token(answer)
            return
        rate = prepared(fmr)
        from facauth.web.site import Site

        site = partial(
            Site,
            host=host,
            port=port,
            policy=policy_of(policy),
            rate=rate,
            workers=workers or min(os.cpu_count() or 1, MAX_WORKERS),
            behind_proxy=behind_proxy,
            per_minute=per_minute,
            tls=tls_files(tls_cert, tls_key),
            results=results(on_success),
            kiosk=kiosk,
        )
        ended_by = run(call, site)
        answer.verdict = "stopped"
        if ended_by is signal.SIGINT:
            answer.exit_code = ExitCode.INTERRUPTED


def prepared(fmr: float | None) -> float | None:
    """The asked rate. Raises SetupProblem, and UsageProblem for an impossible one."""
    from facauth.settings import asked_rate

    require_extra()
    rate = rate_of(fmr)
    asked_rate(rate, claimed=False)
    return rate


def run(call: Call, site: Callable[..., Site]) -> signal.Signals | None:
    """Serve until a signal ends the server; returns the signal."""
    from facauth.web.jobs import HeldKeys
    from facauth.web.server import serve
    from facauth.web.token import operator_token

    keys, token_file = key_access(call), default_token_file()
    token = operator_token(token_file)
    assert token_file is not None  # noqa: S101 - operator_token refuses None
    complete = site(
        store=store_path(call),
        keys=HeldKeys(keys.key_file, keys.default_key_file, keys.ask),
        token=token,
        ended_sessions=token_file.with_name("operator.ended"),
        weight_memory=weight_memory(),
    )
    return serve(complete, lambda text: None if call.quiet else complain(text), quiet=call.quiet)


def results(on_success: str | None) -> Results | None:
    """What signs the results for this address; None without one. Raises UsageProblem."""
    if on_success is None:
        return None
    from facauth.web.results import Results
    from facauth.web.token import result_key

    token_file = default_token_file()
    return Results(on_success, result_key(token_file and token_file.with_name("result.key")))


def print_token(answer: Answer) -> None:
    """The token that identifies the operator of a server."""
    from facauth.web.token import operator_token

    answer.more["token"] = None
    answer.more["token"] = operator_token(default_token_file())
    answer.verdict = "shown"
    answer.lines.append(answer.more["token"])


def tls_files(cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """The two files, or None without TLS. Raises UsageProblem for one without the other."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        reason = Reason("usage", "--tls-cert and --tls-key go together", "give both")
        raise UsageProblem(reason)
    return cert, key


def require_extra() -> None:
    """Raises SetupProblem unless the server's packages are installed."""
    try:
        import facauth.web.server  # noqa: F401
    except ModuleNotFoundError as error:
        from facauth.extras import SERVER, pip_install

        if (error.name or "").partition(".")[0] not in (*SERVER, "starlette"):
            raise
        message = "the web extra is not installed"
        raise SetupProblem(Reason("web.missing", message, pip_install("web"))) from None
