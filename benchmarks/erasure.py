"""What of a removed person is in the files of a PostgreSQL server, and what of it can be opened.

    python benchmarks/erasure.py [--people N] [--by remove|replace]

A real server, with its disk writes on, holds a store of made-up people. A base backup is taken, and
one person is removed (replace: gets other photos). All that was ever sealed is known here, with its
key and its plain bytes. Every file of the server and of the backup is searched for pieces of 16
bytes, at any offset: of the person's plain encodings, signatures and search means, and of the same
sealed. What is found sealed is then opened with every key to be had: those of the key file, and all
that they open of what is found in the files, and so on. No tag is needed for that, so a piece
of a blob is enough.

Each stage prints the files, and bytes of the person: plain ones, sealed ones by kind of file, those
that the key file opens, and those that a copy opens that was made of the key file before. Names are
never sealed: "name" counts the files with the person's.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from postgres import ACCOUNT, Cluster, Database, cluster
from stores import DURABLE

from facauth import admin
from facauth.decision.calibration import shipped
from facauth.decision.match import Gallery
from facauth.places import Address
from facauth.records import PersonName
from facauth.store import means, rekey, sealing, vault
from facauth.store.keys import KeyAccess, KeyKind
from facauth.store.sealing import Template
from facauth.store.store import Store
from facauth.store.vault import KEY_BYTES, NONCE_BYTES, TAG_BYTES, Bound, SealBroken, Vault

CONTRACT = "erasure/1"
SPACE = shipped().calibration.space
AVERAGE = partial(Gallery.of, space=SPACE)
ADA = PersonName.parse("Ada of Lovelace and Byron")  # long enough to be searched in files
PIECE_BYTES = 16
SIGNATURE_BYTES = 15_000
MEAN_BYTES = 2 * means.NUMBERS
PAGE_BYTES, SHORT_HEADER_BYTES, LONG_HEADER_BYTES = 8192, 24, 40  # of the write-ahead log
LOG = "write-ahead log"
BACKUP = "base backup"
KINDS = ("tables", "TOAST", "indexes", LOG, BACKUP, "all else")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A blob that was sealed."""

    blob: bytes
    bound: Bound
    plain: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the removed person in a sealed blob."""

    sealed: Sealed
    begin: int  # in the plain bytes
    end: int

    @property
    def plain(self) -> bytes:
        """As they were before they were sealed."""
        return self.sealed.plain[self.begin : self.end]

    @property
    def cipher(self) -> bytes:
        """As they are in the blob."""
        return self.sealed.blob[NONCE_BYTES:-TAG_BYTES][self.begin : self.end]

    def opened(self, key: bytes) -> bytes:
        """As the holder of a key reads it, whatever the tag says."""
        nonce = self.sealed.blob[:NONCE_BYTES] + struct.pack(">I", 2)  # NIST SP 800-38D, 7.1
        cipher = self.sealed.blob[NONCE_BYTES:-TAG_BYTES]
        return Cipher(AES(key), CTR(nonce)).decryptor().update(cipher)[self.begin : self.end]


@dataclass(slots=True)
class Look:
    """What was found at one stage, in bytes."""

    stage: str
    files: Counter[str] = field(default_factory=Counter)
    megabytes: float = 0.0
    plain: int = 0
    sealed: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    opened_by_copy: int = 0  # of the key file, made before
    name: int = 0  # files


class Searched:
    """Pieces of blobs, found in contents at any offset."""

    def __init__(self, blobs: Sequence[bytes]) -> None:
        self._pieces = {piece for blob in blobs for piece in pieces(blob)}
        heads = np.frombuffer(b"".join(piece[:8] for piece in self._pieces), "<u8")
        self._likely = np.zeros(2**16, bool)
        self._likely[heads & np.uint64(0xFFFF)] = True
        self._heads = np.sort(heads)

    def within(self, content: bytes) -> set[bytes]:
        """Those of the pieces that are in it."""
        found = set()
        for offset in range(min(8, len(content))):
            words = np.frombuffer(content, "<u8", (len(content) - offset) // 8, offset)
            for at in self._hits(words):
                start = offset + 8 * at
                found.add(content[start : start + PIECE_BYTES])
        return found & self._pieces

    def _hits(self, words: NDArray[np.uint64]) -> list[int]:
        likely = np.flatnonzero(self._likely[words.view("<u2")[::4]])
        chosen = words[likely]
        nearest = np.minimum(np.searchsorted(self._heads, chosen), len(self._heads) - 1)
        hits: list[int] = likely[self._heads[nearest] == chosen].tolist()
        return hits


class Trial:
    """A server, a store in it, and all that was sealed for it."""

    def __init__(self, server: Cluster, database: Database, folder: Path) -> None:
        self.server, self.database = server, database
        self.place = Address(database.address)
        self.access = KeyAccess(None, folder / "keys" / "key")
        self.everything: list[Sealed] = []
        self.backup = Cluster.reserved().folder
        self.uid = ""
        self._seen: dict[tuple[Path, int, int, Searched], set[bytes]] = {}
        self._wanted: dict[int, Searched] = {}

    @property
    def key_file(self) -> Path:
        """The key file of the store."""
        assert self.access.place
        return self.access.place

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep all that is sealed in this block."""
        real = vault.seal

        def seal(key: bytes, plain: bytes, bound: Bound) -> bytes:
            blob = real(key, plain, bound)
            self.everything.append(Sealed(blob, bound, plain))
            return blob

        vault.seal = sealing.seal = seal  # type: ignore[attr-defined]
        try:
            yield
        finally:
            vault.seal = sealing.seal = real  # type: ignore[attr-defined]

    def fill(self, people: int) -> None:
        """Ada and so many others, with two photos each, and what they are searched by."""
        rekey.encrypt(self.place, KeyKind.FILE, self.access)
        few, means.SEARCHED_FROM = means.SEARCHED_FROM, 1
        with Store.open(self.place, self.access) as store:
            for number in range(people + 1):
                name = PersonName.parse(f"Person {number}") if number else ADA
                with store.transaction() as change:
                    photos = [photo(2 * number), photo(2 * number + 1)]
                    store.person(name).add(change, CONTRACT, photos)
                    change.log("register", "registered", uid=store.person(name).uid)
            store.refresh(CONTRACT, AVERAGE, SPACE.name)
            self.uid = store.person(ADA).uid
        means.SEARCHED_FROM = few

    def parts(self) -> list[Part]:
        """All that was ever sealed of Ada."""
        ((number,),) = self.database.rows(f"SELECT id FROM people WHERE uid = '{self.uid}'")
        row = number % means.BLOCK_PEOPLE
        found = []
        for each in self.everything:
            kind, *who = each.bound
            if kind in ("encoding", "signature") and who[0] == self.uid:
                found.append(Part(each, 0, len(each.plain)))
            elif kind == "means" and who[1] == number // means.BLOCK_PEOPLE:
                found.append(Part(each, MEAN_BYTES * row, MEAN_BYTES * (row + 1)))
        assert {str(part.sealed.bound[0]) for part in found} == {"encoding", "signature", "means"}
        return found

    def erase(self, by: str) -> None:
        """Remove Ada, or give her other photos."""
        with Store.open(self.place, self.access) as store:
            if by == "remove":
                admin.remove(store, ADA)
            else:
                with store.transaction() as change:
                    store.person(ADA).delete_templates(change)
                    store.person(ADA).add(change, CONTRACT, [photo(10_000)])

    def back_up(self) -> None:
        """A base backup, with its write-ahead log."""
        address = self.server.address().rpartition("/")[0]
        program = str(self.server.programs() / "pg_basebackup")
        command = [
            program,
            "-D",
            str(self.backup / "data"),
            "-X",
            "fetch",
            "-c",
            "fast",
            "-d",
            address,
        ]
        subprocess.run(command, check=True, cwd="/", stderr=subprocess.DEVNULL, **ACCOUNT)

    def kinds(self) -> dict[str, str]:
        """The kind of each file of the store, by its path."""
        rows = self.database.rows(
            "SELECT pg_relation_filepath(oid), relkind FROM pg_class WHERE relfilenode > 16383"
        )
        named = {"r": "tables", "t": "TOAST", "i": "indexes"}
        return {path: named.get(kind, "all else") for path, kind in rows}

    def files(self) -> Iterator[tuple[str, Path]]:
        """The kind and path of every file of the server, its log, and of the backup."""
        kinds, data = self.kinds(), self.server.data
        for file in sorted(data.rglob("*")):
            within = str(file.relative_to(data))
            number = within.partition("_")[0].partition(".")[0]  # of a table's further files
            yield LOG if file.parent.name == "pg_wal" else kinds.get(number, "all else"), file
        yield "all else", self.server.log
        for file in sorted(self.backup.rglob("*")):
            yield BACKUP, file

    def contents(self, wanted: Searched) -> Iterator[tuple[str, bytes, set[bytes]]]:
        """The kind and content of every file, and the pieces that are in it."""
        for kind, file in self.files():
            with suppress(FileNotFoundError):  # some caches of the server come and go
                if file.is_file():
                    state, content = file.stat(), file.read_bytes()
                    known = (file, state.st_mtime_ns, state.st_size, wanted)
                    if known not in self._seen:
                        log = joined(content) if file.parent.name == "pg_wal" else b""
                        self._seen[known] = wanted.within(content + log)
                    yield kind, content, self._seen[known]

    def look(self, stage: str, parts: Sequence[Part], old_keys: set[bytes]) -> Look:
        """Search all files, and open what is found."""
        with self.database.connected() as session:
            session.execute("CHECKPOINT")
        looked, found = Look(stage), set[bytes]()
        plain = {piece for part in parts for piece in pieces(part.plain)}
        cipher = {piece for part in parts for piece in pieces(part.cipher)}
        for kind, content, here in self.contents(self.wanted(parts)):
            looked.files[kind] += 1
            looked.megabytes += len(content) / 2**20
            looked.name += ADA.text.encode() in content
            looked.sealed[kind] += PIECE_BYTES * len(here & cipher)
            found |= here
        looked.plain = PIECE_BYTES * len(found & plain)
        wrapped = [each for each in self.keys() if found.issuperset(pieces(each.blob))]
        looked.opened = opened_bytes(parts, found, all_keys(held(self.key_file), wrapped))
        looked.opened_by_copy = opened_bytes(parts, found, all_keys(old_keys, wrapped))
        return looked

    def keys(self) -> list[Sealed]:
        """All keys that were ever sealed."""
        return [each for each in self.everything if len(each.plain) == KEY_BYTES]

    def wanted(self, parts: Sequence[Part]) -> Searched:
        """What to look for; the same object as before if it is the same."""
        keys = self.keys()
        if len(keys) not in self._wanted:
            blobs = [each for part in parts for each in (part.plain, part.cipher)]
            self._wanted[len(keys)] = Searched([*blobs, *(each.blob for each in keys)])
        return self._wanted[len(keys)]


def pieces(blob: bytes) -> list[bytes]:
    """Any 16 bytes in a row at these places give a blob away."""
    whole = range(0, len(blob) - PIECE_BYTES + 1, PIECE_BYTES)
    return [blob[at : at + PIECE_BYTES] for at in whole]


def photo(seed: int) -> Template:
    """A unit vector and a signature, of no face."""
    dice = np.random.default_rng(seed)
    vector = dice.standard_normal(means.NUMBERS, np.float32)
    encoding = (vector / np.linalg.norm(vector)).astype(np.float32).tobytes()
    return Template(encoding, dice.bytes(SIGNATURE_BYTES), accepted_spoof=False)


def joined(log: bytes) -> bytes:
    """The write-ahead log without the headers of its pages, which are amid the data."""
    parts = []
    for at in range(0, len(log), PAGE_BYTES):
        (flags,) = struct.unpack_from("<H", log, at + 2)
        header = LONG_HEADER_BYTES if flags & 2 else SHORT_HEADER_BYTES
        parts.append(log[at + header : at + PAGE_BYTES])
    return b"".join(parts)


def held(key_file: Path) -> set[bytes]:
    """All keys of a key file."""
    from base64 import b64decode

    return {b64decode(line.split()[3]) for line in key_file.read_text().splitlines()}


def all_keys(keys: set[bytes], wrapped: Sequence[Sealed]) -> set[bytes]:
    """These keys, and those that they open, and those that follow from them."""
    while True:
        more = set(keys)
        for key in keys:
            for each in wrapped:
                try:
                    plain = vault.unseal(key, each.blob, each.bound)
                except SealBroken:
                    continue
                more |= {plain, Vault(plain)._means_key}
        if more == keys:
            return keys
        keys = more


def opened_bytes(parts: Sequence[Part], found: set[bytes], keys: set[bytes]) -> int:
    """How many plain bytes the keys give of the pieces that were found."""
    count = 0
    for part in parts:
        cipher, plain = part.cipher, part.plain
        tried = [part.opened(key) for key in keys]
        for at in range(0, len(cipher) - PIECE_BYTES + 1, PIECE_BYTES):
            piece = slice(at, at + PIECE_BYTES)
            if cipher[piece] in found and any(each[piece] == plain[piece] for each in tried):
                count += PIECE_BYTES
    return count


def looks(people: int, by: str = "remove") -> Iterator[Look]:
    """Enrol, remove, tidy up and rotate; what is found after each."""
    with (
        TemporaryDirectory() as folder,
        cluster(**DURABLE) as server,
        server.database() as database,
    ):
        trial = Trial(server, database, Path(folder))
        try:
            yield from staged(trial, people, by)
        finally:
            subprocess.run(["rm", "-r", "--", trial.backup], check=True)


def staged(trial: Trial, people: int, by: str) -> Iterator[Look]:
    """The stages."""
    with trial.recording():
        trial.fill(people)
        parts, old_keys = trial.parts(), held(trial.key_file)
        trial.back_up()
        yield trial.look("enrolled", parts, old_keys)
        trial.erase(by)
        yield trial.look({"remove": "removed", "replace": "replaced"}[by], parts, old_keys)
        trial.database.change("VACUUM FULL")
        yield trial.look("and VACUUM FULL", parts, old_keys)
        with Store.open(trial.place, trial.access) as store:
            rekey.rotate(store, trial.access)
        yield trial.look("and key rotate", parts, old_keys)
        # What the search is worth: bytes that somebody else wrote plain.
        trial.database.change("CREATE TABLE control (plain BYTEA)")
        plain = parts[0].plain.hex()
        trial.database.change(f"INSERT INTO control VALUES ('\\x{plain}')")
        yield trial.look("control: written plain", parts, old_keys)


def main() -> None:
    """Print a line for each stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--by", choices=("remove", "replace"), default="remove")
    chosen = parser.parse_args()
    kinds = "".join(f" {kind:>15}" for kind in KINDS)
    print(f"{'':44} sealed bytes in{'':81}bytes opened by the key file")
    head = f"{'stage':23} {'files':>6} {'MB':>7} {'plain':>6}{kinds}"
    print(f"{head} {'now':>7} {'before':>7} {'name':>5}")
    files: Counter[str] = Counter()
    for look in looks(chosen.people, chosen.by):
        sealed = "".join(f" {look.sealed[kind]:15}" for kind in KINDS)
        searched = f"{look.files.total():6} {look.megabytes:7.1f} {look.plain:6}"
        opened = f"{look.opened:7} {look.opened_by_copy:7}"
        print(f"{look.stage:23} {searched}{sealed} {opened} {look.name:5}", flush=True)
        files = look.files
    print("files:", ", ".join(f"{files[kind]} {kind}" for kind in KINDS))


if __name__ == "__main__":
    main()
