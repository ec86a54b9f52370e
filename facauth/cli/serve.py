"""The commands serve and token: the page and the HTTP API, and who operates them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from facauth.cli.arguments import (
    Fmr,
    Json,
    KeyFile,
    Lenient,
    Quiet,
    StorePath,
    Strict,
    key_access,
    policy_of,
    rate_of,
    store_path,
)
from facauth.cli.batch import MAX_JOBS
from facauth.cli.output import answering, complain
from facauth.cli.paths import named
from facauth.errors import ExitCode, Reason, SetupProblem, UsageProblem
from facauth.extras import pip_install
from facauth.settings import asked_rate, default_token_file, weight_memory


def add_to(app: typer.Typer) -> None:
    """The commands of this module."""
    app.command("serve", short_help="Serve the page and the HTTP API.")(serve)
    app.command("token", short_help="Print the operator's token for the server.")(token)


Host = Annotated[str, typer.Option(metavar="HOST", help="The address to listen at.")]
Port = Annotated[
    int, typer.Option(metavar="N", min=0, max=65535, help="The port to listen at; 0: any.")
]
BehindProxy = Annotated[
    bool,
    typer.Option(
        "--behind-proxy", help="A proxy takes HTTPS and adds X-Forwarded-For; nobody else comes."
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", metavar="PEM", help="Serve HTTPS: the certificate chain.", parser=named
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option("--tls-key", metavar="PEM", help="The key of --tls-cert.", parser=named),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        metavar="N",
        help="Photos looked at side by side; without it, one a processor, up to 8.",
        show_default=False,
    ),
]
PerMinute = Annotated[
    int,
    typer.Option(
        "--per-minute", min=1, max=1_000_000, metavar="N", help="Tries that one client may make."
    ),
]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    behind_proxy: BehindProxy = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    workers: Workers = None,
    per_minute: PerMinute = 120,
    fmr: Fmr = None,
    strict: Strict = False,
    lenient: Lenient = False,
    store: StorePath = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve the page and the HTTP API until Ctrl-C or SIGTERM; /docs says what there is.

    Everybody may sign in; the rest takes what facauth token prints. No picture is kept.
    """
    with answering("serve", as_json=as_json, quiet=quiet) as answer:
        require_extra()
        rate = rate_of(fmr)
        asked_rate(rate, claimed=False)
        from facauth.web.jobs import HeldKeys
        from facauth.web.server import serve as run
        from facauth.web.site import Site
        from facauth.web.token import operator_token

        access, token_file = key_access(key_file), default_token_file()
        token = operator_token(token_file)
        assert token_file is not None  # noqa: S101 - or else that was refused
        site = Site(
            host=host,
            port=port,
            store=store_path(store),
            keys=HeldKeys(access.key_file, access.default_key_file, access.ask),
            token=token,
            ended_sessions=token_file.with_name("operator.ended"),
            policy=policy_of(answer, strict, lenient),
            rate=rate,
            workers=workers or min(os.cpu_count() or 1, MAX_JOBS),
            behind_proxy=behind_proxy,
            per_minute=per_minute,
            weight_memory=weight_memory(),
            tls=tls_files(tls_cert, tls_key),
        )
        ended_by = run(site, lambda text: None if quiet else complain(text), quiet=quiet)
        answer.verdict = "stopped"
        if ended_by is signal.SIGINT:
            answer.exit_code = ExitCode.INTERRUPTED


def tls_files(cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Both or none. Raises UsageProblem for one without the other."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        reason = Reason("usage", "--tls-cert and --tls-key go together", "give both")
        raise UsageProblem(reason)
    return cert, key


def require_extra() -> None:
    """Raises SetupProblem unless all that the server is made of is installed."""
    try:
        import facauth.web.server  # noqa: F401
    except ModuleNotFoundError as error:
        from facauth.cli.doctor import SERVER

        if (error.name or "").partition(".")[0] not in (*SERVER, "starlette"):
            raise
        message = "the server needs an extra that is not installed"
        raise SetupProblem(Reason("web.missing", message, pip_install("web"))) from None


def token(as_json: Json = False, quiet: Quiet = False) -> None:
    """Print the token of the server's operator; make it if there is none.

    To rotate the token, delete its file (operator.token in the folder for settings) and restart
    the server. The old token then stops working.
    """
    from facauth.web.token import operator_token

    with answering("token", as_json=as_json, quiet=quiet) as answer:
        answer.more["token"] = None
        answer.more["token"] = operator_token(default_token_file())
        answer.verdict = "shown"
        answer.lines.append(answer.more["token"])
