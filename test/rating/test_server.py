"""The server: it answers its own page alone, on loopback, and keeps what the page sends."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from ast_net_ros.rating import RatingError
from ast_net_ros.rating.playback import Playback
from ast_net_ros.rating.server import RatingServer
from ast_net_ros.rating.session import RatingSession
from ast_net_ros.ratings import read_ratings

Talk = Callable[[RatingServer, aiohttp.ClientSession], Awaitable[None]]
BATCH = {"number": 1, "type": "ratings", "face": "face_1", "first": 0, "device": "mouse", "valence": [0.5] * 5}


@pytest.fixture
def serving(playback: Playback, tmp_path: Path) -> Callable[[Talk], None]:
    """Runs a client against a server whose ratings are in tmp_path."""

    async def run(talk: Talk) -> None:
        with RatingSession(tmp_path, playback, "anna") as session:
            server = RatingServer(session)
            runner = await server.start()
            try:
                async with aiohttp.ClientSession() as client:
                    await talk(server, client)
            finally:
                await runner.cleanup()

    return lambda talk: asyncio.run(run(talk))


def origin(server: RatingServer) -> dict[str, str]:
    return {"Origin": server.url.rsplit("/", 2)[0]}


async def connected(server: RatingServer, client: aiohttp.ClientSession) -> tuple[Any, dict]:
    """A websocket as the page opens it, and the first message."""
    page = await client.ws_connect(server.url + "session", headers=origin(server))
    return page, await page.receive_json()


def test_every_request_needs_the_token(serving: Callable) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        base, token = server.url.rsplit("/", 2)[:2]
        assert len(token) >= 32
        for path in ("", "/", "/index.html", f"/{token[:-1]}/", f"/{token[:-1]}/session", "//", "/%00/"):
            async with client.get(base + path) as answer:
                assert answer.status == 403 and "lacks the token" in await answer.text(), path
        for path in ("", "rate.js", "rate.css", "recording.webm"):
            async with client.get(server.url + path) as answer:
                assert answer.status == 200
        for path in ("../rate.js", "..%2f..%2fserver.py", "server.py", "walk.anna.face_1.csv"):
            async with client.get(server.url + path) as answer:
                assert answer.status in (403, 404), path

    serving(talk)


def test_other_hosts_and_pages_are_refused(serving: Callable) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        port = server.url.split(":")[2].split("/")[0]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1"):
            async with client.get(server.url, headers={"Host": host}) as answer:
                assert answer.status == 403
        async with client.get(server.url, headers={"Host": f"localhost:{port}"}) as answer:
            assert answer.status == 200
        for other in (
            {},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"https://127.0.0.1:{port}"},
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await client.ws_connect(server.url + "session", headers=other)

    serving(talk)


def test_the_page_may_load_only_its_own_files(serving: Callable) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        async with client.get(server.url) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
            page = await answer.text()
        assert not re.search(r"(src|href)=\"(https?:)?//", page) and not re.search(r"<script>|style=|onclick=", page)

    serving(talk)


def test_only_loopback_listens(serving: Callable) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        port = int(server.url.split(":")[2].split("/")[0])
        listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]

    serving(talk)


def test_the_video_can_be_read_from_any_place(serving: Callable, playback: Playback) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        async with client.get(server.url + "recording.webm", headers={"Range": "bytes=100-199"}) as answer:
            assert answer.status == 206 and await answer.read() == playback.video.read_bytes()[100:200]
            assert answer.content_type == "video/webm"

    serving(talk)


def test_ratings_are_saved_before_they_are_acknowledged(serving: Callable, tmp_path: Path) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        page, state = await connected(server, client)
        assert (state["recording"], state["rater"], state["rate"], state["moments"]) == ("walk", "anna", 25, 175)
        assert state["faces"][0]["ratings"] == {"valence": None, "arousal": None}
        await page.send_json(BATCH)
        assert await page.receive_json() == {"type": "saved", "number": 1}
        assert len(read_ratings(tmp_path / "walk.anna.face_1.csv").times) == 5
        await page.send_json(BATCH)  # once more, as after a lost connection
        assert (await page.receive_json())["type"] == "saved"
        assert len(read_ratings(tmp_path / "walk.anna.face_1.csv").times) == 5
        _, state = await connected(server, client)
        assert state["faces"][0]["ratings"] == {"valence": [0.5] * 5 + [None] * 170, "arousal": None}

    serving(talk)


def test_the_address_for_the_browser_leads_to_the_page_once(serving: Callable) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        opening = server.opening_url
        assert server.url.split("/")[3] not in opening
        async with client.get(opening) as answer:
            assert str(answer.url) == server.url and answer.status == 200
        for again in (opening, server.opening_url, f"{server.url.rsplit('/', 2)[0]}/None"):
            async with client.get(again) as answer:
                assert answer.status == 403

    serving(talk)


def test_a_session_ends_when_everything_is_saved(serving: Callable, tmp_path: Path) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        page, _ = await connected(server, client)
        blocking = tmp_path / "walk.anna.face_1.csv"
        blocking.mkdir()
        for message in (BATCH, {"type": "finish", "number": 2}):
            await page.send_json(message)
            assert (await page.receive_json())["type"] == "unsaved"
        assert not server.finished.is_set()
        blocking.rmdir()
        await page.send_json({"type": "finish", "number": 3})
        assert await page.receive_json() == {"type": "finished", "number": 3}
        assert server.finished.is_set() and len(read_ratings(blocking).times) == 5

    serving(talk)


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        "1",
        '"text"',
        "{}",
        json.dumps(BATCH | {"first": 10**9}),
        json.dumps(BATCH | {"first": "0"}),
        json.dumps(BATCH | {"first": 0.5}),
        json.dumps(BATCH | {"first": True}),
        json.dumps(BATCH | {"face": "../../x"}),
        json.dumps(BATCH | {"face": []}),
        json.dumps(BATCH | {"valence": 3}),
        json.dumps(BATCH | {"valence": [2.0]}),
        json.dumps(BATCH | {"valence": [True]}),
        json.dumps(BATCH | {"valence": [0] * 10_000}),
        json.dumps(BATCH | {"valence": {}}),
        json.dumps(BATCH | {"device": 7}),
        "[" * 100_000,
    ],
)
def test_a_damaged_message_is_refused_and_the_session_goes_on(serving: Callable, tmp_path: Path, message: str) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        page, _ = await connected(server, client)
        await page.send_str(message)
        assert (await page.receive_json())["type"] == "refused"
        assert list(tmp_path.glob("*.csv")) == []
        await page.send_json(BATCH)
        assert (await page.receive_json())["type"] == "saved"

    serving(talk)


def test_the_last_page_rates_and_the_earlier_one_is_told(serving: Callable) -> None:
    async def talk(server: RatingServer, client: aiohttp.ClientSession) -> None:
        first, _ = await connected(server, client)
        second, _ = await connected(server, client)
        assert await first.receive_json() == {"type": "replaced"}
        assert (await first.receive()).type is aiohttp.WSMsgType.CLOSE
        await second.send_json(BATCH)
        assert (await second.receive_json())["type"] == "saved"

    serving(talk)


def test_a_port_in_use_is_named_with_a_free_one(playback: Playback, tmp_path: Path) -> None:
    async def start(port: int) -> None:
        with RatingSession(tmp_path, playback, "anna") as session:
            await RatingServer(session).start(port)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RatingError, match=rf"port {port}: in use by another program; \d+ is free") as refused:
            asyncio.run(start(port))
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(re.findall(r"(\d+) is free", str(refused.value))[0])))
