"""Run one session: serve the page, open the browser, wait for the rater."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import webbrowser
from collections.abc import Callable

from ast_net_ros.rating.server import RatingServer
from ast_net_ros.rating.session import RatingSession


def serve(session: RatingSession, protocol: str, port: int, open_browser: bool, log: Callable[[str], None]) -> None:
    """Serve the page until the rater ends the session or the process is interrupted.

    Raises:
        RatingError: The port cannot be used.
    """
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
        log("Ctrl-C ends the session; what was rated is saved already, and the same command goes on with it")
        if open_browser and _has_screen():
            await asyncio.to_thread(webbrowser.open, server.opening_url)
        await server.finished.wait()
        await asyncio.sleep(0.2)  # the page gets its answer
    finally:
        await runner.cleanup()


def _has_screen() -> bool:
    """Whether a browser can show a page; without, one for the terminal would start in this one."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
