"""Where the key comes from: what is kept, who may read it, and what is said when it is not there.

Nothing that is raised may show a key: `refused` looks at every message and traceback.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import traceback
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import InitError, KeyringLocked, PasswordSetError

from facauth.errors import FacauthError, SetupProblem, UsageProblem
from facauth.store import keys
from facauth.store.keys import KeyAccess, KeyKind, Lock, create, forget, write_copy
from facauth.store.vault import KEY_BYTES, SealBroken, Vault, new_key

TOP = Path(__file__).parents[2]
NOBODY = 65534
PROCESSES = 8
STORE, OTHER = "5a" * 16, "0b" * 16
KEY = bytes(range(KEY_BYTES))
GOOD = b64encode(KEY).decode()
FILE, KEYRING, PASSPHRASE = KeyKind.FILE, KeyKind.KEYRING, KeyKind.PASSPHRASE
WORDS = "correct horse battery staple"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
as_user = pytest.mark.skipif(os.getuid() == 0, reason="root may do everything")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "keys"


def lock(kind: KeyKind = FILE, generation: int = 1, salt: bytes | None = None) -> Lock:
    return Lock(STORE, kind, generation, salt, b"wrapped")


def line(key: bytes, generation: int = 1, store_id: str = STORE) -> str:
    return f"facauth-key/1 {store_id} {generation} {b64encode(key).decode()}\n"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def made(path: Path, generation: int = 1, store_id: str = STORE) -> bytes:
    kek, salt = create(FILE, store_id, generation, KeyAccess(default_key_file=path))
    assert salt is None
    assert len(kek) == KEY_BYTES
    return kek


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def refused(
    call: Callable[[], object],
    code: str,
    *secrets: str,
    kind: type[FacauthError] = SetupProblem,
) -> str:
    """The sentence of the one reason, after a look for secrets."""
    with pytest.raises(kind) as caught:
        call()
    (reason,) = caught.value.reasons
    assert reason.code == code
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in secrets:
        assert secret
        assert secret not in shown
    assert "\n" not in str(reason)
    return str(reason)


# --- key file ------------------------------------------------------------------------------------


def test_a_key_is_kept(path: Path) -> None:
    kek = made(path)
    assert KeyAccess(default_key_file=path).kek(lock()) == kek
    assert path.read_text() == line(kek)
    assert [each.name for each in path.parent.iterdir()] == ["keys"]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read_it(path: Path, mask: int) -> None:
    with umask(mask):
        made(path)
        write_copy(path.parent / "copy", STORE, 1, KEY, bool)
    assert mode(path.parent) == 0o700
    assert mode(path) == mode(path.parent / "copy") == 0o600


def test_the_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    with umask(0o777):
        kek = made(tmp_path / "keys")
        assert made(tmp_path / "keys") == kek
    assert mode(tmp_path / "keys") == 0o600


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made(tmp_path / "keys")
    assert mode(tmp_path) == 0o755


def test_a_named_file_goes_before_everything(path: Path, tmp_path: Path) -> None:
    made(path)
    key = new_key()
    access = KeyAccess(written(tmp_path / "named", line(key)), path, ask=pytest.fail)
    for kind in KeyKind:
        assert access.kek(lock(kind)) == key
    kek, _ = create(FILE, STORE, 2, access)
    assert (tmp_path / "named").read_text() == line(key) + line(kek, 2)


def test_rotation(path: Path) -> None:
    """The new key is added, the store is committed, and only then the old one goes."""
    access = KeyAccess(default_key_file=path)
    first, other = made(path), made(path, 1, OTHER)
    second = made(path, 2)
    assert path.read_text() == line(first) + line(other, 1, OTHER) + line(second, 2)
    assert access.kek(lock(generation=1)) == first
    assert access.kek(lock(generation=2)) == second
    forget(FILE, STORE, 2, access)
    assert path.read_text() == line(other, 1, OTHER) + line(second, 2)
    assert mode(path) == 0o600
    assert access.kek(lock(generation=2)) == second
    message = refused(lambda: access.kek(lock(generation=1)), "key.wrong_file")
    assert "rotation" in message


def test_a_key_of_a_killed_rotation_is_taken_again(path: Path) -> None:
    first, second = made(path), made(path, 2)
    assert made(path, 2) == second
    assert path.read_text() == line(first) + line(second, 2)


def test_forgetting_what_is_not_there(path: Path) -> None:
    forget(FILE, STORE, 2, KeyAccess(default_key_file=path))
    forget(FILE, STORE, 2, KeyAccess())
    assert not path.parent.exists()
    kek = made(path, 2)
    before = path.stat().st_ino
    forget(FILE, STORE, 2, KeyAccess(default_key_file=path))
    assert path.stat().st_ino == before
    assert path.read_text() == line(kek, 2)


def test_a_copy_opens_the_store(path: Path, tmp_path: Path) -> None:
    kek, copy = made(path), tmp_path / "copy"
    write_copy(copy, STORE, 1, kek, bool)
    assert copy.read_text() == line(kek)
    assert KeyAccess(copy).kek(lock(PASSPHRASE)) == kek


@pytest.mark.parametrize("what", ["file", "empty", "link", "dangling", "folder", "fifo"])
def test_a_copy_replaces_nothing(tmp_path: Path, what: str) -> None:
    path, kek = there(tmp_path / "copy", what), new_key()
    before = path.lstat()
    message = refused(
        lambda: write_copy(path, STORE, 1, kek, bool),
        "key.exists",
        b64encode(kek).decode(),
        kind=UsageProblem,
    )
    assert message == f"{path} exists already; name a new file"
    assert path.lstat() == before
    assert (tmp_path / "there").read_text() == "text"


def there(path: Path, what: str) -> Path:
    """`path`, where there is something that is no key file."""
    target = path.parent / "there"
    target.write_text("text")
    match what:
        case "file" | "empty":
            path.write_text("text" if what == "file" else "")
        case "link" | "dangling":
            path.symlink_to(target if what == "link" else "nowhere")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path, 0o600)
    return path


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("link", "is a link; name the file itself"),
        ("dangling", "is a link; name the file itself"),
        ("folder", "is not a file; name a key file"),
        ("fifo", "is not a file; name a key file"),
    ],
)
def test_what_is_no_file(tmp_path: Path, what: str, message: str) -> None:
    path = there(tmp_path / "keys", what)
    before = path.lstat()
    access = KeyAccess(path)
    assert refused(lambda: access.kek(lock()), "key.wrong_file") == f"{path} {message}"
    assert refused(lambda: create(FILE, STORE, 1, access), "key.wrong_file").endswith(message)
    assert refused(lambda: forget(FILE, STORE, 2, access), "key.wrong_file").endswith(message)
    assert path.lstat()[:2] == before[:2]


def test_a_link_to_a_sound_file_is_refused(path: Path, tmp_path: Path) -> None:
    made(path)
    (tmp_path / "link").symlink_to(path)
    refused(lambda: KeyAccess(tmp_path / "link").kek(lock()), "key.wrong_file")


def test_a_device_is_refused() -> None:
    refused(lambda: KeyAccess(Path("/dev/zero")).kek(lock()), "key.wrong_file")


@pytest.mark.parametrize(
    "bad",
    [
        f"facauth-key/2 {STORE} 1 {GOOD}",
        f"facauth-key/1 {STORE} 1 {GOOD} {GOOD}",
        f"facauth-key/1 {STORE} 1 {GOOD[:-1]}",
        f"facauth-key/1 {STORE} 1 {GOOD[:-1]}A",
        f"facauth-key/1 {STORE} 1 {b64encode(KEY[:16]).decode()}",
        f"facauth-key/1 {STORE} 1 {b64encode(KEY + KEY).decode()}",
        f"facauth-key/1 {STORE} 1 {GOOD.replace('A', '*')}",
        f"facauth-key/1 {STORE} {GOOD} 1",
        f"facauth-key/1 {STORE} -1 {GOOD}",
        f"facauth-key/1 {STORE} ١ {GOOD}",
        f"facauth-key/1  {STORE} 1 {GOOD}",
        f"facauth-key/1 {STORE} 1 {GOOD} ",
        f" facauth-key/1 {STORE} 1 {GOOD}",
        f"FACAUTH-KEY/1 {STORE} 1 {GOOD}",
        GOOD,
        "\xff\xfe\0" + GOOD,
        "-----BEGIN PRIVATE KEY-----",
        " ",
    ],
)
def test_a_bad_line(path: Path, bad: str) -> None:
    """Even beside a good one: a damaged file is not written again as if it were whole."""
    written(path, line(KEY) + bad + "\n")
    access = KeyAccess(path)
    secrets = (GOOD, GOOD[:-1], b64encode(KEY[:16]).decode()[:-2])
    message = f"line 2 of {path} is not a facauth key; name a key file, or bring back a copy of it"
    assert refused(lambda: access.kek(lock()), "key.wrong_file", *secrets) == message
    refused(lambda: create(FILE, STORE, 2, access), "key.wrong_file", *secrets)
    refused(lambda: forget(FILE, STORE, 2, access), "key.wrong_file", *secrets)
    assert path.read_text() == line(KEY) + bad + "\n"


def test_bytes_that_are_no_text(path: Path) -> None:
    written(path, "").write_bytes(bytes(range(256)))
    refused(lambda: KeyAccess(path).kek(lock()), "key.wrong_file")


@pytest.mark.parametrize("text", ["", line(KEY, 1, OTHER), line(KEY, 1, STORE + "0")])
def test_a_file_without_a_key_of_this_store(path: Path, text: str) -> None:
    message = refused(lambda: KeyAccess(written(path, text)).kek(lock()), "key.wrong_file", GOOD)
    assert message == f"{path} holds no key of this store; name the key file that was made for it"


def test_a_huge_file(path: Path) -> None:
    written(path, line(KEY) * (keys.MAX_FILE_BYTES // len(line(KEY))))
    assert KeyAccess(path).kek(lock()) == KEY
    with path.open("a") as file:
        file.write(line(KEY))
    message = refused(lambda: KeyAccess(path).kek(lock()), "key.wrong_file", GOOD)
    assert message == f"{path} is too large; name a key file"
    os.truncate(path, 2**40)  # sparse; reading it all would take the memory of the machine
    refused(lambda: KeyAccess(path).kek(lock()), "key.wrong_file", GOOD)


def test_a_file_that_is_missing(path: Path) -> None:
    message = refused(lambda: KeyAccess(path).kek(lock()), "key.missing")
    assert message == f"there is no key file {path}; give --key-file or FACAUTH_KEY_FILE"
    assert not path.parent.exists()
    refused(lambda: KeyAccess().kek(lock()), "key.missing")
    refused(lambda: create(FILE, STORE, 1, KeyAccess()), "key.missing")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_file_that_is_open_to_others(path: Path, bits: int) -> None:
    access = KeyAccess(path)
    secret = b64encode(made(path)).decode()
    path.chmod(bits)
    message = refused(lambda: access.kek(lock()), "key.unsafe", secret)
    assert message.startswith(f"the key file {path} is open to other users; chmod 600 it")
    refused(lambda: create(FILE, STORE, 2, access), "key.unsafe", secret)
    assert mode(path) == bits
    path.chmod(0o400)
    assert access.kek(lock())


@as_root
def test_a_file_of_another_user(path: Path) -> None:
    secret = b64encode(made(path)).decode()
    os.chown(path, NOBODY, NOBODY)
    message = refused(lambda: KeyAccess(path).kek(lock()), "key.unsafe", secret)
    assert (
        message == f"the key file {path} belongs to another user; chown it, or name one of your own"
    )


@as_user
def test_a_file_that_cannot_be_read(path: Path) -> None:
    made(path)
    path.chmod(0o000)
    refused(lambda: KeyAccess(path).kek(lock()), "key.unusable")


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "there/keys"])
def test_what_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").touch()
    access = KeyAccess(tmp_path / name)
    refused(lambda: access.kek(lock()), "key.unusable")
    refused(lambda: create(FILE, STORE, 1, access), "key.unusable")
    refused(lambda: write_copy(tmp_path / name, STORE, 1, KEY, bool), "key.unusable", GOOD)


@pytest.mark.parametrize(
    ("where", "step"),
    [(os, "fchmod"), (os, "fsync"), (Path, "replace")],
)
def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, step: str) -> None:
    """What was there stays, and no half of a key lies about."""
    before = line(made(path))
    with monkeypatch.context() as patch:
        patch.setattr(where, step, full)
        message = refused(lambda: made(path, 2), "key.unusable")
    assert "No space left on device" in message
    assert path.read_text() == before
    assert made(path, 2)
    assert [each.name for each in path.parent.iterdir()] == ["keys"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_copy_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(lambda: write_copy(path, STORE, 1, KEY, bool), "key.unusable", GOOD)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("store_id", ["", "a b", "a\n", f"a 1 {GOOD}\nfacauth-key/1 {OTHER}", "é"])
def test_a_damaged_store_writes_no_lines(path: Path, store_id: str) -> None:
    """A key of somebody's choice must not become the next one of another store."""
    before = line(made(path))
    refused(lambda: made(path, 1, store_id), "key.damaged")
    refused(lambda: made(path, 10**9), "key.damaged")
    assert path.read_text() == before


def test_a_folder_that_stays_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path)
    monkeypatch.setattr("facauth.files.BUSY_TIMEOUT_S", 0.05)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused(lambda: made(path, 2), "key.busy")
        assert KeyAccess(path).kek(lock())  # reading waits for nobody
    finally:
        os.close(descriptor)
    assert made(path, 2)


# --- several processes, killed processes ---------------------------------------------------------

HEAD = """
import os, signal, sys
from base64 import b64encode
from pathlib import Path
from facauth.store.keys import KeyAccess, KeyKind, create, forget
path, who = Path(sys.argv[1]), sys.argv[2]
access = KeyAccess(default_key_file=path)
def made(store, generation):
    return b64encode(create(KeyKind.FILE, store, generation, access)[0]).decode()
"""
CREATE = """
print("ready", flush=True)
sys.stdin.readline()
for generation in range(1, 11):
    print("own" + who, generation, made("own" + who, generation))
    print("common", generation, made("common", generation))
    forget(KeyKind.FILE, "own" + who, generation - 1, access)
"""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TOP,
    )


def test_processes_at_once_lose_no_key(path: Path) -> None:
    """They also make the folder at once, and rotate at once to the same generation."""
    running = [started(CREATE, path, number) for number in range(PROCESSES)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120) for process in running]
    assert [err for _, err in answers] == [""] * PROCESSES
    said = {row for out, _ in answers for row in out.splitlines()}
    kept = {row.removeprefix("facauth-key/1 ") for row in path.read_text().splitlines()}
    expected = {row for row in said if row.startswith("common") or row.split()[1] in ("9", "10")}
    assert len(expected) == 10 + 2 * PROCESSES
    assert kept == expected
    assert mode(path) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["keys"]


KILLED = """
left = int(who)
def hook(event, arguments):
    global left
    if event in ("open", "os.remove", "os.rename", "os.chmod", "os.mkdir", "fcntl.flock"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
import binascii  # so that only what is done to files counts
sys.addaudithook(hook)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("made('s', 1)", None, ["s 1"]),
        ("made('s', 2)", ["other 1", "s 1"], ["other 1", "s 1", "s 2"]),
        (
            "forget(KeyKind.FILE, 's', 2, access)",
            ["other 1", "s 1", "s 2"],
            ["other 1", "s 2"],
        ),
    ],
)
def test_a_kill_at_any_step(
    tmp_path: Path, step: str, before: list[str] | None, after: list[str]
) -> None:
    """SIGKILL in front of each thing that is done to a file: it is the old one, or the new one."""
    kills = 0
    for kills in range(100):
        path = tmp_path / str(kills) / "keys"
        for entry in before or []:
            store_id, generation = entry.split()
            made(path, int(generation), store_id)
        process = started(KILLED + step, path, kills)
        _, err = process.communicate(timeout=60)
        assert err == ""
        assert entries(path) in (before, after)
        if process.returncode == 0:
            break
        assert process.returncode == -9
        made(path, 9, "later")  # no lock stayed, and what was half written goes
        assert [each.name for each in path.parent.iterdir()] == ["keys"]
        assert mode(path) == 0o600
    assert kills >= 4
    assert entries(path) == after


def entries(path: Path) -> list[str] | None:
    """STORE_ID GENERATION of each line of a whole file; None if there is none."""
    if not path.exists():
        return None
    return [f"{each[1]} {each[2]}" for each in keys._lines(path)]


# --- keyring -------------------------------------------------------------------------------------


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class BrokenRing(Ring):
    """One that fails, and blabs about it."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        raise self.error("something with a secret in it: hunter2")

    def delete_password(self, service: str, username: str) -> None:
        raise self.error("hunter2")


class ReadOnlyRing(Ring):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise PasswordSetError(f"cannot keep {password}")


Use = Callable[[KeyringBackend], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Makes a keyring the system's own until the test is over."""
    return lambda ring: monkeypatch.setattr(keyring.core, "_keyring_backend", ring)


def test_a_keyring_keeps_it(use: Use) -> None:
    ring, access = Ring(), KeyAccess()
    use(ring)
    first, salt = create(KEYRING, STORE, 1, access)
    assert salt is None
    assert ring.kept == {("facauth", f"{STORE}/1"): b64encode(first).decode()}
    assert access.kek(lock(KEYRING)) == first
    assert create(KEYRING, STORE, 1, access) == (first, None)
    other, _ = create(KEYRING, OTHER, 1, access)
    second, _ = create(KEYRING, STORE, 2, access)
    assert len({first, second, other}) == 3
    assert access.kek(lock(KEYRING, 1)) == first
    third, _ = create(KEYRING, STORE, 3, access)
    forget(KEYRING, STORE, 3, access)  # of 2 too, which a killed run had left
    assert [user for _, user in ring.kept] == [f"{OTHER}/1", f"{STORE}/3"]
    assert access.kek(lock(KEYRING, 3)) == third
    refused(lambda: access.kek(lock(KEYRING, 1)), "key.keyring")


@pytest.mark.parametrize("error", [KeyringLocked, InitError, RuntimeError, OSError, KeyError])
def test_a_keyring_that_fails(use: Use, error: type[Exception]) -> None:
    use(BrokenRing(error))
    for call in (
        lambda: KeyAccess().kek(lock(KEYRING)),
        lambda: create(KEYRING, STORE, 1, KeyAccess()),
        lambda: forget(KEYRING, STORE, 2, KeyAccess()),
    ):
        message = refused(call, "key.keyring", "hunter2")
        assert message.startswith(f"the system keyring cannot be used ({error.__name__}); ")


def test_a_keyring_that_quotes_what_it_cannot_keep(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(ReadOnlyRing())
    monkeypatch.setattr(keys, "new_key", lambda: KEY)
    refused(lambda: create(KEYRING, STORE, 1, KeyAccess()), "key.keyring", GOOD)


def test_no_keyring(use: Use) -> None:
    use(fail.Keyring())  # type: ignore[no-untyped-call]
    message = refused(lambda: create(KEYRING, STORE, 1, KeyAccess()), "key.keyring")
    assert "NoKeyringError" in message


def test_a_keyring_that_keeps_nothing(use: Use) -> None:
    """Locked with a key that is nowhere, the store would be lost."""
    use(null.Keyring())  # type: ignore[no-untyped-call]
    refused(lambda: create(KEYRING, STORE, 1, KeyAccess()), "key.keyring")


@pytest.mark.parametrize("kept", ["", "hunter2", GOOD + "\n", b64encode(KEY[:16]).decode()])
def test_a_keyring_with_something_else(use: Use, kept: str) -> None:
    ring = Ring()
    use(ring)
    ring.kept["facauth", f"{STORE}/1"] = kept
    for call in (
        lambda: KeyAccess().kek(lock(KEYRING)),
        lambda: create(KEYRING, STORE, 1, KeyAccess()),
    ):
        refused(call, "key.keyring", *([kept.strip()] if kept else []))
    assert ring.kept == {("facauth", f"{STORE}/1"): kept}


def test_a_keyring_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    message = refused(lambda: KeyAccess().kek(lock(KEYRING)), "key.keyring")
    assert message.endswith("; pip install 'keyring>=25.0'")


# --- passphrase ----------------------------------------------------------------------------------


class Person:
    """Somebody at a terminal, who has so many answers."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        return self.answers.pop(0)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with 1/8192 of the work."""
    monkeypatch.setattr(keys, "SCRYPT_N", {1: 2**4})


def locked(*answers: str) -> tuple[Vault, Lock]:
    """A vault locked with a passphrase entered as `answers`."""
    vault = Vault.new()
    kek, salt = create(PASSPHRASE, STORE, 1, KeyAccess(ask=Person(*answers)))
    assert salt is not None
    return vault, Lock(STORE, PASSPHRASE, 1, salt, vault.locked_by(kek, ("store",)))


def opened(lock: Lock, answer: str) -> Vault:
    kek = KeyAccess(ask=Person(answer)).kek(lock)
    return Vault.opened(kek, lock.wrapped_master, ("store",))


def test_a_passphrase_opens_at_full_cost() -> None:
    """As RFC 7914's scrypt makes it elsewhere too; n and the way to write it down stay."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    salt = b"\1" + b"saltsaltsaltsalt"
    kek = KeyAccess(ask=Person(WORDS)).kek(lock(PASSPHRASE, 1, salt))
    assert kek == Scrypt(salt[1:], KEY_BYTES, n=2**17, r=8, p=1).derive(WORDS.encode())


@pytest.mark.usefixtures("cheap")
def test_only_the_passphrase_opens() -> None:
    vault, lock = locked(WORDS, WORDS)
    assert opened(lock, WORDS).anchor(b"x") == vault.anchor(b"x")
    for wrong in (WORDS + " ", WORDS.upper(), WORDS[:-1], "", "\0", "\udcff", "é" * 10_000):
        with pytest.raises(SealBroken):
            opened(lock, wrong)


@pytest.mark.usefixtures("cheap")
def test_accents_may_be_typed_either_way() -> None:
    words = "Zwölf Boxkämpfer jagen Viktor"
    composed, decomposed = (unicodedata.normalize(form, words) for form in ("NFC", "NFD"))
    assert composed != decomposed
    vault, lock = locked(composed, decomposed)
    for answer in (composed, decomposed):
        assert opened(lock, answer).anchor(b"x") == vault.anchor(b"x")


@pytest.mark.usefixtures("cheap")
def test_a_new_passphrase_is_asked_for_twice() -> None:
    person = Person(WORDS, WORDS)
    first = create(PASSPHRASE, STORE, 1, KeyAccess(ask=person))
    assert person.prompts == ["new passphrase", "new passphrase again"]
    second = create(PASSPHRASE, STORE, 1, KeyAccess(ask=Person(WORDS, WORDS)))
    assert first[0] != second[0]
    assert first[1] != second[1]
    forget(PASSPHRASE, STORE, 2, KeyAccess())


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((WORDS, WORDS + "!"), "the two passphrases differ; enter the same one twice"),
        (("fourteen chars",), "the passphrase is too short; use 15 characters or more"),
        (("",), "the passphrase is too short; use 15 characters or more"),
        (("e\u0301" * 14,), "the passphrase is too short; use 15 characters or more"),
    ],
)
def test_a_passphrase_that_cannot_be(answers: tuple[str, ...], message: str) -> None:
    access = KeyAccess(ask=Person(*answers))
    secrets = [each for each in answers if each]
    said = refused(
        lambda: create(PASSPHRASE, STORE, 1, access), "key.passphrase", *secrets, kind=UsageProblem
    )
    assert said.startswith(message)


@pytest.mark.usefixtures("cheap")
def test_fifteen_characters_are_enough() -> None:
    create(PASSPHRASE, STORE, 1, KeyAccess(ask=Person("fifteen letters", "fifteen letters")))


@pytest.mark.parametrize("ask", [None, Person(None)])
def test_nobody_to_ask(ask: Person | None) -> None:
    salt = b"\1" + bytes(16)
    message = refused(lambda: KeyAccess(ask=ask).kek(lock(PASSPHRASE, 1, salt)), "key.missing")
    assert message.startswith("a passphrase is needed, and there is no terminal to ask for it; ")


def test_nobody_to_ask_again() -> None:
    access = KeyAccess(ask=Person(WORDS, None))
    refused(lambda: create(PASSPHRASE, STORE, 1, access), "key.missing", WORDS)


@pytest.mark.parametrize("salt", [None, b"", b"\1", b"\1" + bytes(15), b"\1" + bytes(17), "text"])
def test_a_damaged_salt(salt: Any) -> None:
    access = KeyAccess(ask=Person(WORDS))
    refused(lambda: access.kek(lock(PASSPHRASE, 1, salt)), "key.damaged", WORDS)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_cost_that_is_not_known(version: int) -> None:
    """And no number in a store decides how much memory is taken."""
    access = KeyAccess(ask=Person(WORDS))
    salt = bytes([version]) + bytes(16)
    refused(lambda: access.kek(lock(PASSPHRASE, 1, salt)), "store.newer", WORDS)


def test_a_cost_that_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", {1: 2**4})
    vault, old = locked(WORDS, WORDS)
    monkeypatch.setattr(keys, "SCRYPT_N", {1: 2**4, 2: 2**5})
    assert opened(old, WORDS).anchor(b"x") == vault.anchor(b"x")
    _, new = locked(WORDS, WORDS)
    assert old.salt
    assert new.salt
    assert (old.salt[0], new.salt[0]) == (1, 2)
    assert opened(new, WORDS)


STARVED = """
import resource
from facauth.store.keys import Lock
import hashlib
resource.setrlimit(resource.RLIMIT_AS, (100 * 2**20,) * 2)
lock = Lock("s", KeyKind.PASSPHRASE, 1, bytes([1] * 17), b"")
try:
    KeyAccess(ask=lambda prompt: "hunter2").kek(lock)
except Exception as error:
    print(error)
"""


def test_too_little_memory() -> None:
    out, err = started(STARVED, "-", "-").communicate(timeout=60)
    assert err == ""
    assert out.startswith("a passphrase cannot be used with less than 128 MB of free memory; ")


def test_a_lock_shows_no_secret() -> None:
    shown = repr(Lock(STORE, PASSPHRASE, 3, b"salty", b"wrapped"))
    assert STORE in shown
    assert "salty" not in shown
    assert "wrapped" not in shown
