"""What a client sent, checked: it is as the interface says, or the answer is 400 or 413 and names what is not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from weft.errors import nearest


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 1 << 20
    lines: int = 256
    characters: int = 2000  # of one line
    beam: int = 32  # and n best
    attention: int = 1 << 24  # weights, of all lines and outputs, where each is as long as its line has characters


class Options(BaseModel):
    """Search settings of one request; what is not given is the model's. Bounded, so that no request runs for hours."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    beam: int | None = Field(default=None, ge=1)
    n_best: int = Field(default=1, ge=1)
    length_penalty: float | None = Field(default=None, ge=0.0, le=10.0)
    max_ratio: float | None = Field(default=None, gt=0.0, le=10.0)
    max_extra: int | None = Field(default=None, ge=0, le=500)
    min_length: int | None = Field(default=None, ge=0, le=500)
    no_repeat_ngram: int | None = Field(default=None, ge=0, le=100)

    def search(self) -> dict[str, Any]:
        return self.model_dump(exclude={"n_best"}, exclude_none=True)


class PredictBody(BaseModel):
    """The body of `POST /v1/predict`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: list[str]
    options: Options = Options()
    wanted: list[Literal["scores", "tokens", "attention"]] = Field(default=[], alias="return")


def invalid(message: str) -> HTTPException:
    return HTTPException(400, f"Invalid request: {message}")


def missing(name: str) -> HTTPException:
    return invalid(f"missing {name} parameter")


async def predict_body(request: Request, limits: Limits) -> PredictBody:
    """The body of a native request; raises HTTPException 400 or 413."""
    given = read_json(await limited(request, limits).body())
    try:
        body = PredictBody.model_validate(given)
    except ValidationError as error:
        raise complaint(error) from None
    for name, value in (("beam", body.options.beam), ("n_best", body.options.n_best)):
        check_beam(f"options.{name}", value or 1, limits)
    check_lines(body.inputs, limits)
    if "attention" in body.wanted:
        check_attention(body, limits)
    for number, line in enumerate(body.inputs):
        if "\n" in line:
            raise invalid(f"inputs[{number}] has a line break; an input is one line")
    return body


async def parameters(request: Request, limits: Limits) -> dict[str, Any]:
    """The parameters of a LibreTranslate request: a JSON object, or else form fields and query together.

    JSON is known by how it begins too, for `curl -d` calls all that it sends a form.
    """
    request = limited(request, limits)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    pairs: list[tuple[str, Any]] = fields("query", request.scope["query_string"])
    if media_type == "multipart/form-data":
        async with request.form(max_files=0) as form:
            pairs += form.multi_items()
    else:
        body = await request.body()
        if media_type == "application/json" or media_type.endswith("+json") or body.lstrip().startswith(b"{"):
            return read_json(body)
        if media_type == "application/x-www-form-urlencoded":
            pairs += fields("form", body)
    given: dict[str, Any] = {}
    for name, value in pairs:
        check_characters(f"{name}{value}")
        if name in given:
            raise invalid(f"{name} is given twice")
        given[name] = value
    return given


def fields(what: str, encoded: bytes) -> list[tuple[str, str]]:
    """Names and values of a form or a query, which may have characters beyond ASCII as they are, as `curl -d` sends."""
    try:
        return parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid(f"the {what} is not UTF-8: byte 0x{error.object[error.start]:02x}") from None


def read_json(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
        check_characters(json.dumps(given, ensure_ascii=False))
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise invalid("the body is not a JSON object")
    return given


def check_characters(text: str) -> None:
    """Raises 400 for half of a surrogate pair, which neither a model nor an answer can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise invalid(f"the request has {half}, half of a surrogate pair, which is no character") from None


def limited(request: Request, limits: Limits) -> Request:
    """The same request, whose body raises 413 as soon as it is longer than it may be."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limits.body_bytes:
        raise too_large(limits)
    return Request(request.scope, counted(request.receive, limits))


def counted(receive: Receive, limits: Limits) -> Receive:
    left = limits.body_bytes

    async def receive_counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise too_large(limits)
        return message

    return receive_counted


def too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"Invalid request: the body is larger than {limits.body_bytes} bytes")


def check_lines(lines: list[str], limits: Limits) -> None:
    """Raises 400 where there are too many lines, or one is too long."""
    if len(lines) > limits.lines:
        raise invalid(f"request ({len(lines)} lines) exceeds text limit ({limits.lines} lines)")
    for number, line in enumerate(lines, 1):
        if len(line) > limits.characters:
            raise invalid(
                f"line {number} ({len(line)} characters) exceeds text limit ({limits.characters} characters a line)"
            )


def check_beam(name: str, value: int, limits: Limits) -> None:
    if value > limits.beam:
        raise invalid(f"{name} is {value}; this server allows at most {limits.beam}")


def check_attention(body: PredictBody, limits: Limits) -> None:
    """Raises 400 for more attention than memory may hold: it grows with the square of a line."""
    longer = max(1.0, body.options.max_ratio or 1.0)
    weights = int(sum(len(line) ** 2 for line in body.inputs) * body.options.n_best * longer)
    if weights > limits.attention:
        raise invalid(
            f"attention may have {weights:,} weights here; this server allows {limits.attention:,}: ask for fewer or "
            "shorter lines, or fewer outputs, at a time"
        )


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises 400 with the nearest spelling: nothing is accepted and ignored."""
    known = list(known)
    for name in given:
        if name not in known:
            raise invalid(f"there is no parameter '{name}'{nearest(name, known)}")


def complaint(error: ValidationError) -> HTTPException:
    """The first thing that is wrong with a native body."""
    item = error.errors(include_url=False)[0]
    path = [str(part) for part in item["loc"]]
    name = ".".join(path)
    if item["type"] == "missing":
        return missing(name)
    if item["type"] == "extra_forbidden":
        known = list(Options.model_fields) if len(path) > 1 else ["inputs", "options", "return"]
        return invalid(f"there is no parameter '{name}'{nearest(path[-1], known)}")
    message = item["msg"][0].lower() + item["msg"][1:]
    value = repr(item["input"])
    return invalid(f"{name} is {value if len(value) <= 60 else value[:60] + '...'}: {message}")
