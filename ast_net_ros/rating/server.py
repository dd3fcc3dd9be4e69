"""Serve the page on the loopback interface, and store the ratings that it sends.

Every request must carry the token of this run in its path, name a loopback host with the right port, and a websocket
must come from a page of this server: otherwise another page in the browser, or another user of the machine, could read
the recording or add ratings. The last page that connects is the one that rates; an earlier one is told so.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import signal
import socket
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from ast_net_ros.rating import RatingError
from ast_net_ros.rating.session import DIMENSIONS, RatingSession
from ast_net_ros.ratings import RATING_RATE

HOST = "127.0.0.1"
_PAGE = Path(__file__).with_name("page")
_NO_TOKEN = (
    "This address lacks the token of the running session. Open the address that `ast_net rate` printed, with all "
    "of its characters; it changes with every start.\n"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RatingServer:
    """The web application of one session.

    Args:
        session: Keeps the ratings.
        protocol: What the page proposes to rate: both, valence or arousal; empty for the first that is unfinished.

    Attributes:
        finished: Set when the rater ends the session in the page.
    """

    def __init__(self, session: RatingSession, protocol: str = ""):
        self.session = session
        self.finished = asyncio.Event()
        self._protocol = protocol
        self._token = secrets.token_urlsafe(24)
        self._opening: str | None = secrets.token_urlsafe(24)
        self._port = 0
        self._rating: web.WebSocketResponse | None = None  # the page that rates

    @property
    def url(self) -> str:
        """The address of the page, once `start` has returned."""
        return f"http://{HOST}:{self._port}/{self._token}/"

    @property
    def opening_url(self) -> str:
        """An address that leads to the page once: other users see the arguments with which a browser is started."""
        return f"http://{HOST}:{self._port}/{self._opening}"

    async def start(self, port: int = 0) -> web.AppRunner:
        """Listen on a port of the loopback interface, 0 for any free one; `cleanup` of the result ends it.

        Raises:
            RatingError: The port is in use or not permitted.
        """
        app = web.Application(middlewares=[self._guard])
        app.on_response_prepare.append(self._secure)
        app.router.add_get("/{token}/", self._file("index.html"))
        for path in sorted(_PAGE.iterdir()):
            app.router.add_get(f"/{{token}}/{path.name}", self._file(path.name))
        app.router.add_get("/{token}/recording.webm", self._video)
        app.router.add_get("/{token}/session", self._connect)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            await runner.cleanup()
            raise _port_error(port, error) from error
        self._port = runner.addresses[0][1]
        return runner

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse requests without the token or of other hosts."""
        if request.host not in self._hosts():
            return web.Response(status=403, text=f"This server only answers requests to {HOST}:{self._port}.\n")
        token = request.path.split("/")[1]
        if self._opening and request.path == f"/{self._opening}":
            self._opening = None
            return web.Response(status=303, headers={"Location": self.url})
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return web.Response(status=403, text=_NO_TOKEN)
        return await handler(request)

    def _hosts(self) -> tuple[str, str]:
        return f"{HOST}:{self._port}", f"localhost:{self._port}"

    async def _secure(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page load nothing but its own files, and nobody embed it."""
        sockets = " ".join(f"ws://{host}" for host in self._hosts())
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
            f"connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        response.headers.update(_HEADERS | {"Content-Security-Policy": policy})

    @staticmethod
    def _file(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def send(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(_PAGE / name)

        return send

    async def _video(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self.session.playback.video)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        """Talk to a page until it leaves or another one takes over."""
        if request.headers.get("Origin") not in [f"http://{host}" for host in self._hosts()]:
            return web.Response(status=403, text="Only the page of this server may connect.\n")
        # A page that is replaced, and may be gone, has a second to close.
        socket = web.WebSocketResponse(timeout=1.0, heartbeat=10.0, max_msg_size=2**20)
        await socket.prepare(request)
        before, self._rating = self._rating, socket
        await socket.send_str(json.dumps(self._state()))
        if before is not None:
            with suppress(ConnectionError):
                await before.send_str(json.dumps({"type": "replaced"}))
            await before.close()
        async for message in socket:
            if message.type is WSMsgType.TEXT and self._rating is socket:
                await socket.send_str(json.dumps(self._answer(message.data)))
        if self._rating is socket:
            self._rating = None
        return socket

    def _state(self) -> dict[str, Any]:
        """Describe the session, for a page that starts."""
        playback = self.session.playback
        return {
            "type": "state",
            "recording": playback.name,
            "rater": self.session.rater,
            "protocol": self._protocol,
            "rate": RATING_RATE,
            "moments": self.session.moments,
            "faces": [
                {
                    "face": face.face,
                    "times": face.times,
                    "boxes": face.boxes,
                    "file": str(self.session.path(face.face)),
                    "ratings": {
                        dimension: _shown(column)
                        for dimension, column in zip(DIMENSIONS, self.session.values(face.face).T)
                    },
                }
                for face in playback.faces
            ],
        }

    def _answer(self, text: str) -> dict[str, Any]:
        """Handle a message. The page sends ratings, numbered, repeatedly until they are saved."""
        number: Any = None
        try:
            message = json.loads(text)
            number = message["number"]
            if message["type"] == "finish":
                self.session.save()
                self.finished.set()
                return {"type": "finished", "number": number}
            given = {name: message[name] for name in DIMENSIONS if message.get(name) is not None}
            self.session.add(message["face"], message["first"], given, message["device"])
        except RatingError as error:
            return {"type": "refused", "number": number, "reason": str(error)}
        except OSError as error:
            return {"type": "unsaved", "number": number, "reason": f"{error.filename}: {error.strerror}"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return {"type": "refused", "number": number, "reason": f"not a message of this page: {error!r}"}
        return {"type": "saved", "number": number}


def _shown(column: np.ndarray) -> list[float | None] | None:
    """Return ratings by moment for JSON, None for no rating; None where there is no rating at all."""
    if np.isnan(column).all():
        return None
    return [None if np.isnan(value) else round(value, 4) for value in column.tolist()]


def _port_error(port: int, error: OSError) -> RatingError:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    reason = "in use by another program" if error.errno == errno.EADDRINUSE else f"not available ({error.strerror})"
    return RatingError(f"port {port}: {reason}; {free} is free, and without --port any free one is taken")


def serve(session: RatingSession, protocol: str, port: int, open_browser: bool, log: Callable[[str], None]) -> None:
    """Serve the page until the rater ends the session or the process is interrupted. RatingError: the port is taken."""
    asyncio.run(_serve(session, protocol, port, open_browser, log))


async def _serve(
    session: RatingSession, protocol: str, port: int, open_browser: bool, log: Callable[[str], None]
) -> None:
    server = RatingServer(session, protocol)
    runner = await server.start(port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.finished.set)
    try:
        log(f"rate {session.playback.name} as {session.rater} in {server.url}")
        log("Ctrl-C ends the session; all ratings so far are saved; run the same command to resume")
        # Without a screen, a browser for the terminal would start in this one.
        has_screen = not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
        if open_browser and has_screen:
            await asyncio.to_thread(webbrowser.open, server.opening_url)
        await server.finished.wait()
        await asyncio.sleep(0.2)  # the page gets its answer
    finally:
        await runner.cleanup()
