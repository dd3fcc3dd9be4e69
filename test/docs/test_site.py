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
    # An address that leads nowhere: the build must not need the network.
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


def test_every_link_in_the_built_pages_leads_somewhere_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs" / "check_site.py"), str(site)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    (site / "broken.html").write_text('<a href="nowhere.html">x</a><script src="https://cdn.example/x.js"></script>')
    again = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs" / "check_site.py"), str(site)], capture_output=True, text=True
    )
    (site / "broken.html").unlink()
    assert again.returncode == 1 and "leads nowhere" in again.stderr and "from elsewhere" in again.stderr


@pytest.mark.parametrize(
    "page", ["index.html", "architecture.html", "explanation/network.html", "reference/python.html"]
)
@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_opens_without_complaint_and_its_figures_are_drawn(
    browser: Any, address: str, page: str, width: int
) -> None:
    browser.open(f"{address}/{page}", width)
    assert browser.console() == []
    assert [url for url in browser.requests() if not url.startswith((address, "about:", "chrome"))] == []
    shown = "return [...document.querySelectorAll('.md-content svg.drawing, .md-content img')].map(e => e.clientHeight)"
    heights = browser.run(shown)
    assert len(heights) == {"index.html": 1, "architecture.html": 2, "explanation/network.html": 1}.get(page, 0)
    assert all(height > 100 for height in heights)
    overflow = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{page} is wider than a window of {width} pixels"


@pytest.mark.parametrize(
    "question, page, words",
    [
        ("Where do I change the crop?", "architecture.html#another-crop", "align_face"),
        ("How is confidence defined?", "confidence.html#definition", "both lie within 0.25 of the truth"),
        ("What happens when a bag loops?", "time-and-state.html#when-a-bag-loops", "begins anew with a new id"),
    ],
)
def test_the_front_page_answers_in_one_step(browser: Any, address: str, question: str, page: str, words: str) -> None:
    browser.open(f"{address}/index.html")
    link = (
        "return [...document.querySelectorAll('td')].find(e => e.textContent == arguments[0])"
        ".parentElement.querySelector('a').href"
    )
    target = browser.driver.execute_script(link, question)
    assert target.endswith(page)
    browser.open(target)
    section = browser.run(
        "let e = document.getElementById(location.hash.slice(1)), text = '';"
        "while ((e = e.nextElementSibling) && !/^H[123]$/.test(e.tagName)) text += e.textContent; return text"
    )
    assert words in " ".join(section.split())


def test_the_search_finds_a_parameter(browser: Any, address: str) -> None:
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


def test_the_pages_are_spelt_as_words_are() -> None:
    pages = [str(path) for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("msg/*.msg")]]
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words", str(ROOT / "tools" / "docs" / "spelling.txt")]
    spelt = subprocess.run([*command, *pages], capture_output=True, text=True)
    assert spelt.returncode == 0, spelt.stdout + spelt.stderr
