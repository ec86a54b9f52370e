"""The commands serve and token, as processes: where it listens, for whom, and how it ends."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import ssl
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from conftest import Facauth
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image
from serving import BARACK, BARACK_AGAIN, Served, command, sent, serving


def test_the_token_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first, again = command(tmp_path, "serve", "--token"), command(tmp_path, "serve", "--token")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == again.stdout
    assert len(first.stdout.strip()) == 43
    kept = tmp_path / "home/config/facauth/operator.token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert [each.name for each in kept.parent.iterdir()] == ["operator.token"]


def test_two_processes_make_one_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: command(tmp_path, "serve", "--token").stdout, range(4)))
    assert len(set(made)) == 1
    assert made[0].strip()


@pytest.mark.parametrize("fault", ["open", "link", "empty", "folder", "short"])
def test_a_token_that_others_may_know_is_none(facauth: Facauth, fault: str) -> None:
    token = facauth("serve", "--token").stdout
    kept = facauth.home / "config/facauth/operator.token"
    if fault == "open":
        kept.chmod(0o640)
    elif fault == "link":
        kept.rename(kept.with_name("other"))
        kept.symlink_to("other")
    elif fault == "empty":
        kept.write_text("")
    elif fault == "short":
        kept.write_text(token[:20] + "\n")
    else:
        kept.unlink()
        kept.mkdir()
    result = facauth("serve", "--token", exit_code=7)
    assert token.strip() not in result.stdout + result.stderr
    assert "operator.token" in result.stderr


def test_nobody_else_is_served_in_the_clear(facauth: Facauth) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        result = facauth("serve", "--host", host, "--port", "0", exit_code=2)
        assert result.stderr == (
            f"facauth: other machines can reach {host}, and the connection is not encrypted; "
            "give --tls-cert and --tls-key, or --behind-proxy behind a proxy with HTTPS\n"
        )


@pytest.mark.parametrize(
    ("options", "exit_code", "code"),
    [
        (("--host", "0.0.0.0"), 2, "server.unencrypted"),
        (("--host", "no.such.host.invalid"), 2, "server.no_host"),
        (("--host", "x" * 300), 2, "server.no_host"),
        (("--host", "192.0.2.1", "--behind-proxy"), 7, "server.port"),  # not of this machine
        (("--port", "70000"), 2, "usage"),
        (("--policy", "lax"), 2, "usage"),
        (("--fmr", "2"), 2, "match.impossible_rate"),
        (("--tls-cert", "cert.pem"), 2, "usage"),
        (("--tls-key", "key.pem"), 2, "usage"),
        (("--tls-cert", "no.pem", "--tls-key", "no.pem"), 7, "server.tls"),
        (("--workers", "0"), 2, "usage"),
        (("--per-minute", "0"), 2, "usage"),
    ],
)
def test_what_cannot_be_served(
    facauth: Facauth, options: tuple[str, ...], exit_code: int, code: str
) -> None:
    result = facauth("serve", "--port", "0", *options, exit_code=exit_code)
    assert len(result.stderr.splitlines()) == 1
    again = facauth("serve", "--port", "0", "--json", *options, exit_code=exit_code)
    assert (again.codes, again.stderr) == ([code], "")


def test_a_port_in_use(facauth: Facauth) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        result = facauth("serve", "--port", str(port), exit_code=7)
    assert result.stderr == (f"facauth: port {port} of 127.0.0.1 is in use; give another --port\n")


@pytest.mark.sqlite("is about the file and its folder")
def test_a_store_that_is_none(facauth: Facauth) -> None:
    facauth.store.parent.mkdir()
    facauth.store.write_text("no store at all" * 99)
    result = facauth("serve", "--port", "0", exit_code=7)
    assert "is not a facauth store" in result.stderr


def test_it_needs_its_extra(facauth: Facauth) -> None:
    absent = facauth.here / "absent" / "uvicorn"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ModuleNotFoundError(name='uvicorn')")
    path = facauth.environment()["PYTHONPATH"]
    env = {"PYTHONPATH": f"{absent.parent}:{path}"}
    result = facauth.process("serve", env=env, exit_code=7)
    assert result.stderr.startswith(
        "facauth: the web extra is not installed; pip install 'fastapi>="
    )
    assert "'uvicorn>=" in result.stderr
    assert facauth.process("serve", "--token", env=env).stdout  # which needs nothing of it


@pytest.mark.slow
@pytest.mark.parametrize(("by", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_when_what_runs_is_done(tmp_path: Path, by: signal.Signals, code: int) -> None:
    with serving(tmp_path) as server:
        assert server.register("Barack", BARACK).status_code == 200
        answers: list[int] = []
        asked = [threading.Thread(target=ask, args=(server, answers)) for _ in range(6)]
        for each in asked:
            each.start()
        while not any(line["route"] == "/sign-in/" for line in server.log()):
            pass  # the first has its answer, the last have not
        assert server.stop(by) == code
        for each in asked:
            each.join()
        assert answers == [200] * 6
        assert "Traceback" not in server.said()
        assert not (server.store.parent / "store.sqlite3-wal").exists()  # closed in good order


def ask(server: Served, answers: list[int]) -> None:
    files = {"file": sent(BARACK_AGAIN)}
    with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
        answers.append(client.post(f"{server.url}/sign-in/", files=files).status_code)


def test_an_idle_connection_holds_no_stop_up(tmp_path: Path) -> None:
    with serving(tmp_path) as server, closing(socket.create_connection(("127.0.0.1", server.port))):
        assert server.stop() == 0


@pytest.mark.slow
def test_quiet_says_nothing(tmp_path: Path, facauth: Facauth) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with facauth.start("serve", "--quiet", "--port", str(port)) as process:
        wait_for(port)
        process.terminate()
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said) == (0, b"", b"")


def wait_for(port: int) -> None:
    while True:
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
        except httpx.ConnectError:
            continue
        else:
            return


def test_behind_a_proxy(tmp_path: Path) -> None:
    """Clients are told apart by what the proxy says, and cookies are for https alone."""
    options = ("--behind-proxy", "--host", "0.0.0.0", "--per-minute", "3")
    with serving(tmp_path, *options) as server:
        served = Served(
            server.process,
            tmp_path,
            f"http://127.0.0.1:{server.port}",
            server.token,
            server.keeping,
        )
        name = "X-Forwarded-For"
        first = [(name, "203.0.113.9"), (name, "198.51.100.7")]
        other = [(name, "203.0.113.9, 198.51.100.8")]
        tries = [served.call("POST", "/sign-in/", headers=first).status_code for _ in range(4)]
        assert tries == [415, 415, 415, 429]
        assert served.call("POST", "/sign-in/", headers=other).status_code == 415
        cookie = served.call("POST", "/session", data={"token": server.token}).headers["Set-Cookie"]
        assert cookie.startswith("__Host-facauth=")
        assert cookie.endswith("; Secure")
        assert served.get("/metrics").status_code == 403
        assert served.get("/metrics", headers=served.operator).status_code == 200


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of localhost, signed by itself; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))
    return cert, secret


def test_https(tmp_path: Path) -> None:
    cert, key = map(str, certificate(tmp_path))
    with serving(tmp_path, "--tls-cert", cert, "--tls-key", key, "--host", "0.0.0.0") as server:
        assert server.url.startswith("https://0.0.0.0:")
        trusted = ssl.create_default_context(cafile=cert)
        with httpx.Client(verify=trusted, trust_env=False) as client:
            url = f"https://localhost:{server.port}"
            counts = client.get(f"{url}/metrics")
            done = client.post(f"{url}/session", data={"token": server.token})
        assert done.status_code == 200
        assert done.headers["Set-Cookie"].endswith("; Secure")
        assert counts.status_code == 403
        for each in (counts, done):
            assert each.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.slow
def test_two_servers_share_a_store_and_its_limits(tmp_path: Path) -> None:
    """Whoever fails at one has failed at the other; one token, one session for both."""
    with serving(tmp_path, "--workers", "1") as one:
        assert one.register("Barack", BARACK).status_code == 200
        (tmp_path / "stderr").rename(tmp_path / "stderr-1")
        with serving(tmp_path, "--workers", "1") as two:
            assert two.token == one.token
            answers = [each.sign_in(BARACK).status_code for each in (one, two) * 6]
            assert answers == [401] * 10 + [429] * 2
            assert {each.sign_in(BARACK_AGAIN).status_code for each in (one, two)} == {429}
            begun = one.call("POST", "/session", data={"token": one.token})
            session = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
            csrf = re.findall('[0-9a-f]{64}(?=">)', two.get("/operator/", headers=session).text)[0]
            for each in (one, two):
                assert each.get("/people/", headers=session).status_code == 200
            meant = session | {"X-CSRF-Token": csrf}
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert two.call("POST", "/session/end", headers=meant | form).status_code == 200
            for each in (one, two):
                assert each.get("/people/", headers=session).status_code == 403


@pytest.mark.slow
def test_an_encrypted_store_is_served_with_its_passphrase(tmp_path: Path) -> None:
    """Which takes a third of a second to be tried, and is tried once."""
    words = {"FACAUTH_PASSPHRASE": "correct horse battery staple"}
    with serving(tmp_path) as server:
        assert server.register("Barack", BARACK).status_code == 200
        assert server.stop() == 0
    made = command(tmp_path, "key", "init", "--passphrase", env=words)
    assert made.returncode == 0, made.stderr
    with serving(tmp_path, env=words) as server:
        assert server.sign_in(BARACK_AGAIN).json()["person"] == "Barack"
    without = command(tmp_path, "serve", "--port", "0")
    assert (without.returncode, without.stderr.count("\n")) == (7, 1)


@pytest.mark.slow
def test_while_libtiff_is_kept_quiet_the_log_is_not(tmp_path: Path) -> None:
    """Or else whoever sends a TIFF could do something else meanwhile, unseen."""
    made = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(made, "TIFF", compression="tiff_lzw")
    with serving(tmp_path) as server:
        with ThreadPoolExecutor(2) as pool:
            photos = [pool.submit(server.sign_in, made.getvalue()) for _ in range(4)]
            looks = 0
            while not all(each.done() for each in photos):
                assert server.get("/healthz").is_success
                looks += 1
        assert [each.result().status_code for each in photos] == [401] * 4  # nobody is enrolled
        lines = [line for line in server.said().splitlines() if not line.startswith("facauth: ")]
        assert looks > 20
        assert len([json.loads(line) for line in lines]) == looks + 4
