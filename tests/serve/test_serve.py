"""What clients get from the server, alone and together, when they ask well and when they do not."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from weft.cli.main import main
from weft.recipe import Search
from weft.serve.app import PAGE, application
from weft.serve.queue import Ask, Bounds
from weft.serve.request import Limits, Options
from weft.tasks.text import Model, Prediction

if TYPE_CHECKING:
    from conftest import Gate

LINES = ["abc", "d", "", "ghij abc def", "fed cba", "jjjj", "a b c", "hgf"]
ASK = Ask.of(Search())


def error(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    message: str = response.json()["error"]
    return message


def predicted(client: TestClient, lines: list[str], **more: Any) -> list[dict[str, Any]]:
    response = client.post("/v1/predict", json={"inputs": lines, **more})
    assert response.status_code == 200, response.text
    outputs: list[dict[str, Any]] = response.json()["outputs"]
    return outputs


class Recorder:
    """A model that puts the lines that it is asked into `seen`."""

    def __init__(self, model: Model, seen: list[str]) -> None:
        self.model = model
        self.seen = seen
        self.batches = 0

    def predict(self, lines: Any, *arguments: Any, **search: Any) -> list[Prediction]:
        self.seen.extend(lines)
        self.batches += 1
        return self.model.predict(lines, *arguments, **search)


# the native interface


def test_predict_gives_one_output_a_line_as_the_model_does(client: TestClient, tiny: Model) -> None:
    expected = tiny.predict(LINES[:5])
    assert predicted(client, LINES[:5]) == [
        {"text": each.text, "finish_reason": each.finish_reason} for each in expected
    ]
    assert predicted(client, []) == []


def test_predict_returns_what_is_asked_for(client: TestClient, tiny: Model) -> None:
    output, empty = predicted(
        client, ["abc", ""], options={"n_best": 3, "beam": 4}, **{"return": ["scores", "tokens", "attention"]}
    )
    (expected,) = tiny.predict(["abc"], n_best=3, attention=True, beam=4)
    assert output["score"] == pytest.approx(expected.score)
    assert output["tokens"] == expected.tokens
    assert output["source_tokens"] == ["a", "b", "c"]
    assert [other["text"] for other in output["alternatives"]] == [str(other) for other in expected.alternatives]
    assert len(output["attention"]) == len(output["token_scores"])
    assert all(len(row) == 4 and math.isclose(sum(row), 1.0, abs_tol=1e-4) for row in output["attention"])
    assert (empty["text"], empty["finish_reason"], empty["attention"]) == ("", "empty", [])
    assert set(predicted(client, ["abc"], **{"return": ["scores"]})[0]) == {
        "text", "finish_reason", "score", "token_scores",
    }  # fmt: skip


def test_options_change_the_search(client: TestClient) -> None:
    (output,) = predicted(client, ["abc"], options={"beam": 1, "max_ratio": 1, "max_extra": 0, "min_length": 3})
    assert output["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "Invalid request: missing inputs parameter"),
        ({"inputs": "abc"}, "inputs is 'abc': input should be a valid list"),
        ({"inputs": [1]}, "inputs.0 is 1"),
        ({"inputs": ["a"], "option": {}}, "no parameter 'option'; did you mean 'options'?"),
        ({"inputs": ["a"], "options": {"beem": 2}}, "no parameter 'options.beem'; did you mean 'beam'?"),
        ({"inputs": ["a"], "options": {"beam": 0}}, "options.beam is 0"),
        ({"inputs": ["a"], "options": {"beam": 7}}, "options.beam is 7; this server allows at most 6"),
        ({"inputs": ["a"], "options": {"n_best": 7}}, "options.n_best is 7"),
        ({"inputs": ["a"], "options": {"max_extra": 10**9}}, "options.max_extra is 1000000000"),
        ({"inputs": ["a"], "return": ["beam_tree"]}, "return.0 is 'beam_tree'"),
        ({"inputs": ["a" * 40], "return": ["attention"], "options": {"n_best": 6}}, "attention may have 9,600 weights"),
        ({"inputs": ["a"] * 6}, "request (6 lines) exceeds text limit (5 lines)"),
        ({"inputs": ["a", "b" * 41]}, "line 2 (41 characters) exceeds text limit (40 characters a line)"),
        ({"inputs": ["a", "b\nc"]}, "inputs[1] has a line break"),
        ({"inputs": ["\ud800"]}, "surrogate"),
    ],
)
def test_a_wrong_native_request_is_told_what_is_wrong(client: TestClient, body: Any, expected: str) -> None:
    assert expected in error(client.post("/v1/predict", content=json.dumps(body)), 400)


@pytest.mark.parametrize("body", ["", "{", "[]", "[" * 3000, '{"inputs": ["a"], "options": {"length_penalty": NaN}}'])
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, body: str) -> None:
    assert error(client.post("/v1/predict", content=body), 400).startswith("Invalid request: ")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/predict", {"inputs": ["a\udc00"]}),
        ("/v1/predict", {"inputs": ["a"], "\ud800": 1}),
        ("/v1/predict", {"inputs": ["a"], "options": {"\ud800": 1}}),
        ("/v1/predict", {"inputs": ["a"], "return": ["\ud800"]}),
        ("/translate", {"q": "a\ud800", "source": "en", "target": "de"}),
        ("/translate", {"q": "a", "source": "\ud800", "target": "de"}),
        ("/translate", {"q": "a", "source": "en", "target": "de", "\ud800": ""}),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(client: TestClient, path: str, body: Any) -> None:
    json_type = {"Content-Type": "application/json"}
    assert "half of a surrogate pair" in error(client.post(path, content=json.dumps(body), headers=json_type), 400)


def test_half_a_character_in_a_form_is_refused(client: TestClient) -> None:
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
             for name, value in (("q", "a"), ("source", "\\ud800"), ("target", "de"))]  # fmt: skip
    headers = {"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"}
    response = client.post("/translate", content="".join([*parts, "--x--\r\n"]), headers=headers)
    assert "half of a surrogate pair" in error(response, 400)


@pytest.mark.parametrize("path", ["/v1/predict", "/translate"])
def test_a_body_that_is_too_large_is_refused(client: TestClient, path: str) -> None:
    def in_parts() -> Any:
        yield from [b"q=" + b"x" * 3000] * 2

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert "4000 bytes" in error(client.post(path, content=b"q" * 4001, headers=form), 413)
    assert "4000 bytes" in error(client.post(path, content=in_parts(), headers=form), 413)
    assert "4000 bytes" in error(client.post(path, files={"q": (None, "x" * 5000)}), 413)


def test_models_says_what_there_is(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["name"], model["source_language"], model["target_language"]) == ("tiny", "en", "de")
    assert model["search"]["beam"] == 3
    assert model["limits"]["lines"] == 5


# LibreTranslate's interface


def test_translate_takes_json_a_form_multipart_and_a_query(client: TestClient, tiny: Model) -> None:
    given = {"q": "abc def", "source": "en", "target": "de", "format": "text", "api_key": ""}
    expected = {"translatedText": tiny.predict(["abc def"])[0].text}
    assert client.post("/translate", json=given).json() == expected
    assert client.post("/translate", data=given).json() == expected
    assert client.post("/translate", files={name: (None, value) for name, value in given.items()}).json() == expected
    assert client.post("/translate", params=given).json() == expected
    as_curl_sends_it = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/translate", content=json.dumps(given), headers=as_curl_sends_it).json() == expected


@pytest.mark.parametrize("q", ["é; def", "%C3%A9;+def"])
def test_a_form_is_utf_8_in_percent_signs_or_as_it_is(tiny: Model, q: str) -> None:
    with TestClient(application(tiny, "tiny")) as client:
        seen: list[str] = []
        client.app.state.queue.model = Recorder(tiny, seen)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        response = client.post("/translate", content=f"source=en&q={q}&target=de".encode(), headers=form)
        assert (response.status_code, seen) == (200, ["é; def"])
        for wrong in (b"source=en&q=%E9&target=de", "source=en&q=é&target=de".encode("latin-1")):
            response = client.post("/translate", content=wrong, headers=form)
            assert error(response, 400) == "Invalid request: the form is not UTF-8: byte 0xe9"


def test_translate_answers_a_list_with_a_list(client: TestClient, tiny: Model) -> None:
    answer = client.post("/translate", json={"q": ["abc", "", "d"], "source": "en", "target": "de"}).json()
    assert answer == {"translatedText": [each.text for each in tiny.predict(["abc", "", "d"])]}


def test_translate_gives_alternatives_only_where_asked(client: TestClient, tiny: Model) -> None:
    expected = [str(other) for other in tiny.predict(["abc"], n_best=3)[0].alternatives]
    given = {"q": "abc", "source": "en", "target": "de", "alternatives": "2"}
    assert client.post("/translate", data=given).json()["alternatives"] == expected
    assert len(expected) == 2
    answer = client.post("/translate", json={**given, "q": ["abc", ""], "alternatives": 2}).json()
    assert answer["alternatives"] == [expected, []]


def test_translate_keeps_the_lines_of_a_text(client: TestClient, tiny: Model) -> None:
    first, last = tiny.predict(["abc", "def"], n_best=2)
    given = {"q": "abc\r\n\ndef", "source": "en", "target": "de", "alternatives": 1}
    answer = client.post("/translate", json=given).json()
    assert answer["translatedText"] == f"{first}\n\n{last}"
    assert answer["alternatives"] == [f"{first.alternatives[0]}\n\n{last.alternatives[0]}"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"q": None}, "Invalid request: missing q parameter"),
        ({"q": ""}, "Invalid request: missing q parameter"),
        ({"source": None}, "Invalid request: missing source parameter"),
        ({"target": None}, "Invalid request: missing target parameter"),
        ({"target": "zz"}, "zz is not supported; the target of this model is de"),
        ({"source": "auto"}, "auto is not supported; the source of this model is en"),
        ({"source": ["en"]}, "['en'] is not supported"),
        ({"format": "html"}, "html format is not supported"),
        ({"api_key": "secret"}, "api_key is not supported"),
        ({"alternativs": 2}, "no parameter 'alternativs'; did you mean 'alternatives'?"),
        ({"alternatives": -1}, "alternatives is -1; expected a whole number, 0 or more"),
        ({"alternatives": "some"}, "alternatives is some"),
        ({"alternatives": True}, "alternatives is True"),
        ({"alternatives": 6}, "alternatives is 7; this server allows at most 6"),
        ({"q": 5}, "q is neither a string nor a list of strings"),
        ({"q": ["a", 5]}, "q is neither a string nor a list of strings"),
        ({"q": "a\n" * 5}, "request (6 lines) exceeds text limit (5 lines)"),
        ({"q": "a" * 41}, "exceeds text limit (40 characters a line)"),
    ],
)
def test_a_wrong_translate_request_is_told_what_is_wrong(client: TestClient, change: Any, expected: str) -> None:
    given = {"q": "abc", "source": "en", "target": "de", **change}
    assert expected in error(client.post("/translate", json=given), 400)


def test_a_form_field_given_twice_is_refused(client: TestClient) -> None:
    given = {"q": ["abc", "def"], "source": "en", "target": "de"}
    assert error(client.post("/translate", data=given), 400) == "Invalid request: q is given twice"


def test_a_file_where_text_should_be_is_refused(client: TestClient) -> None:
    error(client.post("/translate", files={"q": ("q.txt", b"abc")}), 400)


def test_languages_are_the_recipes(client: TestClient, tiny: Model) -> None:
    assert client.get("/languages").json() == [
        {"code": "en", "name": "English", "targets": ["de"]},
        {"code": "de", "name": "German", "targets": []},
    ]


def test_a_model_without_languages_takes_any(client: TestClient, tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "recipe", tiny.recipe.model_copy(update={"source_language": "", "target_language": ""}))
    assert client.get("/languages").json() == [{"code": "und", "name": "Undetermined", "targets": ["und"]}]
    assert client.post("/translate", json={"q": "abc", "source": "fr", "target": "it"}).status_code == 200
    assert client.post("/translate", json={"q": "abc", "source": "auto", "target": "it"}).status_code == 400


# the rest


def test_health_and_page(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.text == PAGE.read_text("utf-8")
    assert "http:" not in page.text and "https:" not in page.text


@pytest.mark.parametrize("path", ["/detect", "/translate_file", "/metrics", "/docs", "/openapi.json"])
def test_what_is_not_there_says_so(client: TestClient, path: str) -> None:
    assert path in error(client.post(path), 404)
    assert "does not answer GET" in error(client.get("/translate"), 405)


def test_pages_of_other_origins_may_ask(client: TestClient) -> None:
    origin = {"Origin": "http://elsewhere.example"}
    asking = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert client.options("/translate", headers=asking).headers["access-control-allow-origin"] == "*"
    refused = client.post("/translate", json={}, headers=origin)
    assert refused.status_code == 400 and refused.headers["access-control-allow-origin"] == "*"


def test_a_prediction_that_fails_is_a_500(client: TestClient, open_gate: Gate) -> None:
    client.app.state.queue.model = open_gate
    assert "a bad line" in error(client.post("/v1/predict", json={"inputs": ["bad"]}), 500)
    assert predicted(client, ["good"])[0]["text"] == "GOOD"


# together


def test_an_answer_does_not_depend_on_company(client: TestClient, tiny: Model, gate: Gate) -> None:
    more = {"options": {"n_best": 2}, "return": ["scores", "tokens", "attention"]}
    alone = [predicted(client, [line], **more)[0] for line in LINES]
    queue = client.app.state.queue
    seen: list[str] = []
    queue.model = gate
    first = queue.submit(["first"], ASK)
    assert gate.entered.wait(10)
    queue.model = recorder = Recorder(tiny, seen)
    with ThreadPoolExecutor(len(LINES)) as pool:
        answers = [pool.submit(predicted, client, [line], **more) for line in LINES]
        with queue.changed:
            assert queue.changed.wait_for(lambda: len(queue.waiting) == len(LINES), 10)
        gate.open.set()
        together = [answer.result(20)[0] for answer in answers]
    assert first.result(10)[0].text == "FIRST"
    assert (recorder.batches, sorted(seen)) == (1, sorted(LINES))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for each, its in zip(one, other, strict=True):
            assert_same(each, its)
    else:
        assert one == (pytest.approx(other, abs=1e-5) if isinstance(one, float) else other)


def test_what_a_client_asked_that_is_gone_is_not_predicted(client: TestClient, gate: Gate) -> None:
    queue = client.app.state.queue
    queue.model = gate
    queue.submit(["first"], ASK)
    assert gate.entered.wait(10)
    coming = [
        {"type": "http.request", "body": json.dumps({"inputs": ["gone"] * 5}).encode()},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "headers": []}
    asyncio.run(client.app(scope, receive, send))
    last = queue.submit(["last"] * 8, ASK)  # for which there is room
    gate.open.set()
    assert len(last.result(10)) == 8
    assert gate.batches == [["first"], ["last"] * 8]


def test_a_full_queue_is_a_429_and_a_closing_one_a_503(client: TestClient, gate: Gate) -> None:
    queue = client.app.state.queue
    queue.model = gate
    first = queue.submit(["first"], ASK)
    assert gate.entered.wait(10)
    waiting = queue.submit(["second"] * 8, ASK)
    response = client.post("/translate", json={"q": "abc", "source": "en", "target": "de"})
    assert error(response, 429) == "Slowdown: 8 lines are waiting already"
    assert int(response.headers["retry-after"]) >= 1

    closing = threading.Thread(target=queue.close)
    closing.start()
    with queue.changed:
        assert queue.changed.wait_for(lambda: queue.draining, 10)
    response = client.post("/v1/predict", json={"inputs": ["abc"]})
    assert error(response, 503) == "the server is shutting down"
    assert int(response.headers["retry-after"]) >= 1
    error(client.get("/health"), 503)
    gate.open.set()
    closing.join(10)
    assert [first.result(0)[0].text, waiting.result(0)[7].text] == ["FIRST", "SECOND"]


# weft serve


def test_the_server_answers_until_it_is_told_to_stop(model_folder: Path, tiny: Model) -> None:
    command = [sys.executable, "-m", "weft", "serve", str(model_folder), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stderr is not None
            address = server.stdout.readline().split()[1]
            body = json.dumps({"q": "abc", "source": "en", "target": "de"}).encode()
            request = urllib.request.Request(f"{address}/translate", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=20) as response:
                assert json.load(response) == {"translatedText": tiny.predict(["abc"])[0].text}
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
            assert server.stderr.read() == ""
        finally:
            server.kill()


def test_a_port_that_is_taken_is_named(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stopped:
            main(["serve", str(model_folder), "--port", str(port)])
    assert stopped.value.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "70000"], "--port is 70000"),
        (["--threads", "0"], "--threads is 0"),
        (["--host", "256.0.0.1", "--port", "0"], "cannot listen on 256.0.0.1: "),
        (["--host", "a" * 70, "--port", "0"], "not the name of a host"),
        (["--host", "192.0.2.1", "--port", "0"], "try another --host"),
    ],
)
def test_wrong_arguments_end_with_2(
    model_folder: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", str(model_folder), *arguments])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_search_that_cannot_be_is_told_before_the_first_request(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model_folder, tmp_path / "tiny")
    recipe = tmp_path / "tiny" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("language_model: null", "language_model: runs/gone"))
    with pytest.raises(SystemExit) as stopped:
        main(["serve", str(tmp_path / "tiny"), "--port", "0"])
    assert (stopped.value.code, capsys.readouterr().err) == (2, "weft: runs/gone: no such model directory\n")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit) as stopped:
        main(["serve", "nowhere"])
    assert stopped.value.code == 2
    assert "pip install 'weft[serve]'" in capsys.readouterr().err


def test_the_page_of_the_interface_says_what_one_request_may_ask_for() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
    limits, options = Limits(), ", ".join(f"`{name}`" for name in Options.model_fields)
    assert f"{limits.lines} lines, {limits.characters:,} characters a line, {limits.beam} for" in page
    assert f"{limits.attention:,} weights of attention" in page
    assert f"lines are waiting ({Bounds().waiting_lines:,})" in page
    assert f"| `options` | {options};" in page
    assert limits.body_bytes == 1 << 20
