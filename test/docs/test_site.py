"""The documentation site, built and served as a reader gets it, in a real browser."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mkdocs", reason="MkDocs is not installed: tools/setup/setup.sh docs")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    # A proxy that does not exist: the build must not need the network.
    env = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "1",
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def check_site(site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "docs" / "check_site.py"), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_built_pages_have_no_broken_link_and_load_nothing_remote(site: Path) -> None:
    checked = check_site(site)
    assert checked.returncode == 0, checked.stderr


def test_site_check_finds_broken_links_and_remote_files(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search_index.json").write_text('{"docs": [{"location": "whole.html#here"}]}')
    (tmp_path / "whole.html").write_text('<h1 id="here">x</h1><a href="#here">x</a><a href="https://a.example">x</a>')
    assert check_site(tmp_path).returncode == 0
    broken = ('<a href="nowhere.html">x</a>', '<script src="https://cdn.example/x.js"></script>')
    (tmp_path / "broken.html").write_text("".join(broken))
    checked = check_site(tmp_path)
    assert checked.returncode == 1 and len(checked.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "page, drawings", [("index", 1), ("architecture", 3), ("explanation/network", 1), ("reference/python", 0)]
)
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_the_window_and_shows_its_figures(
    browser: Any, address: str, page: str, drawings: int, width: int
) -> None:
    browser.open(f"{address}/{page}.html", width)
    assert browser.console() == []
    assert [url for url in browser.requests() if not url.startswith((address, "about:", "chrome"))] == []
    shown = (
        "return [...document.querySelectorAll('.md-content svg.drawing, .md-content img')]"
        ".filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().height)"
    )
    heights = browser.run(shown)
    assert len(heights) == drawings and all(height > 100 for height in heights)
    overflow = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_front_page_has_tabs_and_sidebar_at_desktop_width(browser: Any, address: str) -> None:
    browser.open(f"{address}/index.html", 1280)
    visible = "return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent).length"
    assert browser.driver.execute_script(visible, ".md-tabs__link") >= 4
    assert browser.driver.execute_script(visible, ".md-sidebar--primary .md-nav__link") >= 5


@pytest.mark.parametrize("page", ["reference/parameters", "reference/command-line", "reference/messages"])
def test_reference_tables_are_readable_on_a_phone(browser: Any, address: str, page: str) -> None:
    browser.open(f"{address}/{page}.html", 390)
    widest = "return Math.max(...[...document.querySelectorAll('.cards td')].map(e => e.getBoundingClientRect().right))"
    assert 0 < browser.run(widest) <= 390


def test_code_on_the_tutorial_pages_is_not_clipped_at_1280(browser: Any, address: str) -> None:
    hidden = (
        "return Math.max(0, ...[...document.querySelectorAll('pre > code')].map(e => e.scrollWidth - e.clientWidth))"
    )
    for page in ("index", "tutorials/your-camera", "tutorials/your-behaviour", "tutorials/evaluate-a-recording"):
        browser.open(f"{address}/{page}.html", 1280)
        assert browser.run(hidden) <= 0, page


def test_search_finds_a_parameter(browser: Any, address: str) -> None:
    browser.open(f"{address}/index.html")
    box = browser.driver.find_element("css selector", "input.md-search__input")
    browser.run("document.querySelector('input.md-search__input').focus()")
    box.send_keys("detection_interval")
    found: list[str] = []
    deadline = time.monotonic() + 20
    while not found and time.monotonic() < deadline:
        found = browser.run("return [...document.querySelectorAll('.md-search-result__item a')].map(e => e.href)")
        time.sleep(0.1)
    assert any("/reference/parameters.html" in link for link in found), found
    assert browser.console() == []


def test_pages_and_messages_are_spelled_correctly() -> None:
    pages = [
        str(path)
        for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]
    ]
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words", str(ROOT / "tools" / "docs" / "spelling.txt")]
    checked = subprocess.run([*command, *pages], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
