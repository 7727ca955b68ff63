"""The service: one picture with its phrases at a time, the others wait in a queue that has an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundkit.errors import ConfigError, GroundkitError, ImageError, InputError, OutOfMemoryError
from groundkit.media.images import read_image
from groundkit.pipelines.base import Pipeline
from groundkit.service.answers import Answer, Health, MaskKind, Refusal, result_of
from groundkit.version import __version__

_log = logging.getLogger("groundkit")
_FORM_BYTES = 64 * 2**10  # of a request beside its picture: phrases and the form's own marks


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        max_bytes: of the uploaded file.
        max_phrases: for one picture.
        max_waiting: requests that wait or run; further ones are refused.
    """

    max_bytes: int = 32 * 2**20
    max_phrases: int = 20
    max_waiting: int = 16


def make_app(pipeline: Pipeline, limits: Limits | None = None) -> FastAPI:
    """The service for a loaded pipeline, as an ASGI application.

    ``POST /segment`` takes a form with the file ``image``, one or several fields ``phrase``, and ``mask``: ``rle``
    (default), ``png`` or ``none``. ``GET /health`` tells what runs. The schema is at ``/openapi.json``.

    Status codes: 200, also where a phrase failed (see ``error`` of its result); 413 too large; 422 a picture that
    cannot be read, or a form that lacks something; 503 too many requests wait, or memory ran out; 500 a fault of the
    service. Every refusal is ``{"error": "one line"}``.

    Example:
        >>> import groundkit
        >>> from groundkit.service.app import make_app
        >>> app = make_app(groundkit.load("refam"))
        >>> app.title
        'groundkit'
    """
    limits = limits or Limits()
    app = FastAPI(title="groundkit", version=__version__, docs_url=None, redoc_url=None)
    queue = _Queue(limits.max_waiting)

    @app.get("/health")
    async def health() -> Health:
        return Health(
            pipeline=pipeline.name,
            model=pipeline.model,
            segmenter=pipeline.segmenter.name,
            device=str(pipeline.device) if pipeline.families else "",
            version=__version__,
            waiting=queue.waiting,
        )

    refusals: dict[int | str, dict[str, object]] = {code: {"model": Refusal} for code in (413, 422, 500, 503)}

    @app.post("/segment", responses=refusals)
    async def segment(
        image: Annotated[UploadFile, File(description="A picture of any format that Pillow reads.")],
        phrase: Annotated[list[str], Form(description="What to look for; repeatable.")],
        mask: Annotated[MaskKind, Form(description="How masks are given.")] = "rle",
        seed: Annotated[int, Form(ge=0, le=2**62, description="Seed of the noise.")] = 0,
    ) -> Answer:
        if len(phrase) > limits.max_phrases:
            raise HTTPException(422, f"{len(phrase)} phrases for one picture: at most {limits.max_phrases}")
        content = await image.read()
        async with queue:
            return await run_in_threadpool(_segment, pipeline, content, phrase, mask, seed)

    @app.exception_handler(RequestValidationError)
    async def incomplete(request: Request, error: RequestValidationError) -> JSONResponse:
        told = (f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        return _refuse(422, "; ".join(told))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return _refuse(error.status_code, error.detail)

    @app.exception_handler(GroundkitError)
    async def failed(request: Request, error: GroundkitError) -> JSONResponse:
        codes = {InputError: 422, ConfigError: 422, OutOfMemoryError: 503}
        return _refuse(next((code for kind, code in codes.items() if isinstance(error, kind)), 500), str(error))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        _log.error("a request failed", exc_info=error)
        return _refuse(500, "a fault of groundkit: see its log")

    app.add_middleware(_LimitedBody, max_bytes=limits.max_bytes)
    return app


def _segment(pipeline: Pipeline, content: bytes, phrases: list[str], mask: MaskKind, seed: int) -> Answer:
    try:
        image = read_image(content)
    except ImageError as error:
        raise ImageError(f"image: {str(error).partition(': ')[2] or error}") from error
    height, width = image.shape[:2]
    found = pipeline(image, phrases, seed=seed, on_error="return")
    return Answer(
        width=width,
        height=height,
        pipeline=pipeline.name,
        model=pipeline.model,
        version=__version__,
        results=[result_of(each, mask) for each in found],
    )


def _refuse(code: int, line: str) -> JSONResponse:
    wait = {"Retry-After": "1"} if code == 503 else {}
    return JSONResponse({"error": " ".join(line.split())}, code, headers=wait)


class _Queue:
    """One at a time, in the order of arrival."""

    def __init__(self, max_waiting: int) -> None:
        self.waiting = 0
        self._max_waiting = max_waiting
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> None:
        if self.waiting >= self._max_waiting:
            raise HTTPException(503, f"{self.waiting} requests wait already: try again later")
        self.waiting += 1
        try:
            await self._turn.acquire()
        except BaseException:  # the client has gone
            self.waiting -= 1
            raise

    async def __aexit__(self, *error: object) -> None:
        self.waiting -= 1
        self._turn.release()


class _LimitedBody:
    """Refuses a request whose body is too large, before it is read and, where it hides its size, while it is."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        allowed = self._max_bytes + _FORM_BYTES
        refusal = _refuse(413, f"the upload is too large: at most {self._max_bytes / 2**20:g} MiB")
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > allowed:
            await refusal(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > allowed:
                raise _TooLargeError
            return message

        async def unless_too_large(message: Message) -> None:
            if received <= allowed:
                await send(message)

        with contextlib.suppress(_TooLargeError):
            await self._app(scope, counted, unless_too_large)
        if received > allowed:
            await refusal(scope, receive, send)


class _TooLargeError(Exception):
    pass
