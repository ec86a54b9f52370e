"""The sign-in demo that facauth grew from, for benchmarks/server.py to compare with.

    python benchmarks/demo.py PORT [--threads]

Two endpoints on face_recognition at its defaults, and a dictionary of users: no store, no limits,
no liveness check. The endpoints are `async def`, as is usual in such demos, so that the server
works on one request at a time. With --threads they are plain `def`: FastAPI runs them in threads,
so that photos are received and decoded in parallel. Only one thread at a time uses
face_recognition, whose networks are global: two threads in them hang within seconds.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable
from threading import Lock
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, File, Form, HTTPException, UploadFile

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # face_recognition_models imports pkg_resources
    import face_recognition

users: dict[str, Any] = {}
one_at_a_time = Lock()


def encodings_of(file: UploadFile) -> list[Any]:
    """The encodings of all faces in a photo."""
    pixels = face_recognition.load_image_file(file.file)
    with one_at_a_time:
        encodings: list[Any] = face_recognition.face_encodings(pixels)
    return encodings


def register(
    name: Annotated[str, Form()], file: Annotated[UploadFile, File()]
) -> dict[str, str | None]:
    """Keep the encoding of the first face."""
    encodings = encodings_of(file)
    if not encodings:
        raise HTTPException(400, "no face was found")
    users[name] = encodings[0]
    return {"person": name}


def sign_in(file: Annotated[UploadFile, File()]) -> dict[str, str | None]:
    """The first user within the tolerance."""
    encodings = encodings_of(file)
    if not encodings:
        raise HTTPException(401, "no face was found")
    matches = face_recognition.compare_faces(list(users.values()), encodings[0])
    for name, match in zip(users, matches, strict=True):
        if match:
            return {"person": name}
    raise HTTPException(401, "nobody matches")


def on_the_loop(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The same as `async def`."""

    @functools.wraps(endpoint)
    async def answer(**fields: Any) -> Any:
        return endpoint(**fields)

    return answer


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", action="store_true")
    chosen = parser.parse_args()
    app = FastAPI()
    endpoints: dict[str, Callable[..., Any]] = {"/register/": register, "/sign-in/": sign_in}
    for path, endpoint in endpoints.items():
        app.post(path)(endpoint if chosen.threads else on_the_loop(endpoint))
    uvicorn.run(app, port=chosen.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
