"""The HTTP interface of one model: predict, LibreTranslate's translate, a page to try it on."""

from __future__ import annotations

import logging
from asyncio import FIRST_COMPLETED, ensure_future, wait, wrap_future
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from weft.errors import WeftError
from weft.serve.libretranslate import languages, translate
from weft.serve.queue import Ask, Bounds, Draining, Full, Queue, Refusal
from weft.serve.request import Limits, Options, invalid, parameters, predict_body
from weft.tasks.strategy import changed
from weft.tasks.text import Model, Prediction

PAGE = Path(__file__).parent / "page" / "index.html"
PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
LOG = logging.getLogger("weft.serve")
CLIENT_GONE = 499  # as nginx logs it; the request is over
CORS_SECONDS = 20 * 24 * 60 * 60


class Service:
    """The endpoints, with the model and the queue that they share."""

    def __init__(self, model: Model, name: str, limits: Limits, queue: Queue) -> None:
        self.model = model
        self.name = name
        self.limits = limits
        self.queue = queue
        self.parameters = sum(parameter.numel() for parameter in model.network.parameters())

    async def page(self, request: Request) -> Response:
        return HTMLResponse(PAGE.read_text("utf-8"), headers={"Content-Security-Policy": PAGE_POLICY})

    async def health(self, request: Request) -> Response:
        if self.queue.draining:
            raise HTTPException(503, "the server is shutting down", {"Retry-After": "1"})
        return JSONResponse({"status": "ok"})

    async def models(self, request: Request) -> Response:
        recipe = self.model.recipe
        return JSONResponse(
            {
                "models": [
                    {
                        "name": self.name,
                        "source_language": recipe.source_language,
                        "target_language": recipe.target_language,
                        "parameters": self.parameters,
                        "search": recipe.search.model_dump(include=set(Options.model_fields)),
                        "limits": vars(self.limits),
                    }
                ]
            }
        )

    async def predict(self, request: Request) -> Response:
        body = await predict_body(request, self.limits)
        wanted: set[str] = set(body.wanted)
        predictions = await self.answered(
            request, body.inputs, body.options.search(), body.options.n_best, "attention" in wanted
        )
        return JSONResponse({"outputs": [output(prediction, wanted) for prediction in predictions]})

    async def languages(self, request: Request) -> Response:
        return JSONResponse(languages(self.model.recipe))

    async def translate(self, request: Request) -> Response:
        asked = translate(await parameters(request, self.limits), self.model.recipe, self.limits)
        predictions = await self.answered(request, asked.lines, {}, asked.alternatives + 1, False)
        return JSONResponse(asked.answer(predictions))

    async def answered(
        self, request: Request, lines: list[str], search: dict[str, Any], n_best: int, attention: bool
    ) -> list[Prediction]:
        try:
            settings = changed(self.model.recipe.search, search, self.model.recipe.tags == "labels")
        except WeftError as error:
            raise invalid(str(error)) from None
        future = self.queue.submit(lines, Ask.of(settings, n_best, attention))
        try:
            return await kept(future, request)
        except HTTPException:
            raise
        except WeftError as error:
            raise invalid(str(error)) from None
        except Exception as error:
            LOG.exception("prediction failed")
            raise HTTPException(500, f"prediction failed: {error}") from error


async def kept(promise: Future[list[Prediction]], request: Request) -> list[Prediction]:
    """What was promised; where the client goes away before, the promise is withdrawn, and nobody reads the answer."""
    answer, gone = wrap_future(promise), ensure_future(left(request))
    try:
        await wait((answer, gone), return_when=FIRST_COMPLETED)
        if not answer.done():
            raise HTTPException(CLIENT_GONE, "the client is gone")
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


async def left(request: Request) -> None:
    """Until the client, whose body has been read, is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def output(prediction: Prediction, wanted: set[str]) -> dict[str, Any]:
    """One element of `outputs`: of a prediction's record, what was asked for."""
    record = prediction.record()
    kept: dict[str, Any] = {"text": record["text"], "finish_reason": record["finish_reason"]}
    if "scores" in wanted:
        kept |= {name: record[name] for name in ("score", "token_scores", "labels") if name in record}
    if wanted & {"tokens", "attention"}:
        kept |= {"tokens": prediction.tokens, "source_tokens": prediction.source_tokens}
    if "attention" in wanted:
        kept["attention"] = record.get("attention", [])
    if prediction.alternatives:
        kept["alternatives"] = [output(other, wanted) for other in prediction.alternatives]
    return kept


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404:
        message = f"there is no {request.url.path} on this server"
    if error.status_code == 405:
        message = f"{request.url.path} does not answer {request.method}"
    return error_response(error.status_code, message, error.headers)


async def not_taken(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    full = isinstance(error, Full)
    message = f"Slowdown: {error}" if full else str(error)
    return error_response(429 if full else 503, message, {"Retry-After": str(error.retry_after)})


async def failed(request: Request, error: Exception) -> Response:
    return error_response(500, f"internal error: {type(error).__name__}")


def application(
    model: Model,
    name: str,
    limits: Limits | None = None,
    bounds: Bounds | None = None,
    threads: int | None = None,
) -> Starlette:
    """The server of one model. Its queue starts and drains with the application; PyTorch gets so many threads."""
    queue = Queue(model, bounds, threads)
    service = Service(model, name, limits or Limits(), queue)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        queue.start()
        yield
        await to_thread.run_sync(queue.close)

    app = Starlette(
        routes=[
            Route("/", service.page),
            Route("/health", service.health),
            Route("/v1/models", service.models),
            Route("/v1/predict", service.predict, methods=["POST"]),
            Route("/languages", service.languages),
            Route("/translate", service.translate, methods=["POST"]),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["Retry-After"],
                max_age=CORS_SECONDS,
            )
        ],
        exception_handlers={HTTPException: refused, Full: not_taken, Draining: not_taken, Exception: failed},
        lifespan=lifespan,
    )
    app.state.queue = queue
    return app
