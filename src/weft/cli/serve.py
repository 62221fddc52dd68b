"""weft serve."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from weft.cli.arguments import Arguments
from weft.cli.predict import add_weights
from weft.errors import WeftError

DRAIN_SECONDS = 60  # for what was asked before the signal came


def parser() -> Arguments:
    serve = Arguments(
        prog="weft serve",
        description="Answer over HTTP: a page to try the model on, /v1/predict, and LibreTranslate's /translate.",
        epilog="weft serve runs/pairs, then open http://127.0.0.1:5000 in a browser",
    )
    serve.add_argument("model", metavar="MODEL", help="a model's folder")
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 answers other machines too")
    serve.add_argument("--port", type=int, default=5000, help="0 takes any that is free")
    serve.add_argument("--threads", type=int, metavar="N", help="that PyTorch computes with (default: one a core)")
    add_weights(serve)
    return serve


def run(options: argparse.Namespace) -> int:
    check_installed()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if options.threads is not None:
        threads = options.threads
    if threads < 1:
        raise WeftError(f"--threads is {threads}; expected 1 or more")
    with listening(options.host, options.port) as listener:
        from weft.serve.app import application
        from weft.tasks.text import load

        folder = Path(options.model)
        model = load(folder, weights=options.weights, shortlist=options.shortlist)
        if model.recipe.model.input.kind == "image":
            raise WeftError(f"{folder} reads images by their files' names, which nobody may do over HTTP")
        model.strategy(1, {})  # what is wrong with the recipe's search is said now, and not to each client
        app = application(model, folder.resolve().name, threads=threads)
        answer(app, listener, url(listener))
    return 0


def check_installed() -> None:
    present = [find_spec(name) for name in ("starlette", "uvicorn", "anyio")]
    if not all(present) or not (find_spec("python_multipart") or find_spec("multipart")):
        raise WeftError("weft serve needs packages that are not installed; pip install 'weft[serve]'")


def listening(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to; WeftError where host and port cannot be had."""
    if not 0 <= port <= 65535:
        raise WeftError(f"--port is {port}; expected 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not the name of a host"
        raise WeftError(f"cannot listen on {host}: {reason}; --host is an address of this machine") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        other = "host" if error.errno == errno.EADDRNOTAVAIL else "port"
        raise WeftError(f"cannot listen on {host} port {port}: {reason}; try another --{other}") from None


def url(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def answer(app: Any, listener: socket.socket, at: str) -> None:
    """Answer until SIGTERM or SIGINT, then finish what was asked for; a second SIGINT ends at once."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=DRAIN_SECONDS))

    def stop(number: int, frame: object) -> None:
        # Before uvicorn handles signals itself; and after, when it raises those it has handled once more.
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    print(f"weft: {at} answers; Ctrl-C stops it", flush=True)
    server.run(sockets=[listener])
