"""The cost of an import of very many people, and the waiting time of sign-ins meanwhile.

    python benchmarks/importing.py [--people 10000] [--signatures] [--encrypted] [--json]

`facauth import` imports made-up people with one photo each from a plain export, in its own process.
Another process keeps opening the store, counts a failed attempt as a sign-in does, and measures its
waiting time. Processor time is that of the whole import, with its start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from facauth.errors import FacauthError, NoMatch, Reason
from facauth.networks import Checked, Networks
from facauth.records import PersonName
from facauth.store.keys import KeyAccess
from facauth.store.sealing import Template
from facauth.store.store import Store
from facauth.transfer.document import PersonCopy, Photo, write

AT = "2026-01-01T00:00:00+00:00"
SIGNATURE_BYTES = 70_000  # about the size of a real signature
SEED = 20261130


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one import."""

    people: int
    processor_s: float
    wall_s: float
    tries: int  # of the other process, while the import ran
    refused: int  # of them, because the store was held too long
    longest_wait_s: float


def export_of(people: int, *, signatures: bool) -> str:
    """The text of an export of made-up people, all different."""
    random = np.random.default_rng(SEED)
    vectors = random.normal(size=(people, 256)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    contract = Networks(Checked(None)).contract
    copies = []
    for number, vector in enumerate(vectors):
        signature = random.bytes(SIGNATURE_BYTES) if signatures else None
        photo = Photo(contract, AT, Template(vector.tobytes(), signature, False))
        copies.append(PersonCopy(PersonName.parse(f"Person {number}"), AT, None, None, (photo,)))
    return write(copies, None)


def measured(people: int, *, signatures: bool, encrypted: bool) -> Figures:
    """Import in another process while this one counts attempts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported, path, key = folder / "export", folder / "store.sqlite3", folder / "key"
        exported.write_text(export_of(people, signatures=signatures))
        with Store.open(path, create=True) as store, store.transaction() as change:
            store.person("Ada").add(change, "other/1", [Template(b"x" * 1024, None, False)])
        keys, options = KeyAccess(), ["--store", str(path), "--quiet"]
        run = [sys.executable, "-m", "facauth"]
        if encrypted:
            init = [*run, "key", "init", "--store", str(path), "--key-file", str(key)]
            subprocess.run(init, check=True, capture_output=True)
            keys, options = KeyAccess(key), [*options, "--key-file", str(key)]
        started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        importing = subprocess.Popen([*run, "import", str(exported), *options])
        waits, refused = tried_until_done(importing, path, keys)
        wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if importing.returncode:
            raise SystemExit("the import failed")
        with Store.open(path, keys) as store:
            if len(store.people()) != people + 1 or store.verify_log()[1]:
                raise SystemExit("the store is wrong")
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(people, used_s, wall_s, len(waits), refused, max(waits, default=0.0))


def tried_until_done(
    importing: subprocess.Popen[bytes], path: Path, keys: KeyAccess
) -> tuple[list[float], int]:
    """The duration of each attempt meanwhile, and how many found the store busy."""
    waits, refused, no_match = [], 0, NoMatch(Reason("match.none", "no", "no"))
    while importing.poll() is None:
        started = time.monotonic()
        try:
            with Store.open(path, keys) as store:
                with store.transaction() as change:
                    change.unlock(store.person("Ada").uid)
                with store.attempt("Ada"):
                    raise no_match
        except NoMatch:
            pass
        except FacauthError:
            refused += 1
        waits.append(time.monotonic() - started)
        time.sleep(0.05)
    return waits, refused


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--signatures", action="store_true", help="70 KB of them a photo")
    parser.add_argument("--encrypted", action="store_true", help="into an encrypted store")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found = measured(asked.people, signatures=asked.signatures, encrypted=asked.encrypted)
    if asked.json:
        print(json.dumps(asdict(found)))
        return
    for name, value in asdict(found).items():
        print(f"{name}\t{value:.2f}" if isinstance(value, float) else f"{name}\t{value}")


if __name__ == "__main__":
    main()
