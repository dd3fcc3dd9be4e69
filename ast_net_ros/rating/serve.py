"""Run one session: prepare the recording, serve the page, open the browser, wait for the rater."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import webbrowser
from collections.abc import Callable
from html import escape
from pathlib import Path

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
        with tempfile.TemporaryDirectory(prefix="ast_net_rate-") as folder:
            if open_browser:
                await asyncio.to_thread(_open_in_browser, server.url, Path(folder))
            await server.finished.wait()
            await asyncio.sleep(0.2)  # the page gets its answer
    finally:
        await runner.cleanup()


def _open_in_browser(url: str, folder: Path) -> None:
    """Open a file that leads to the page: other users see the arguments of a browser, which must not have the token."""
    page = folder / "rate.html"
    page.touch(mode=0o600)
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}">', encoding="utf-8")
    webbrowser.open(page.as_uri())
