"""What all tests share: the face videos that `make test` fetches, bags made of them, and a real browser for pages."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_CHROMIUM_OPTIONS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses to run as root with it
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # Without these it looks up hosts of its own at every start.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder with the face videos; without them the tests fail rather than pass by skipping."""
    folder = Path(os.environ.get("AST_NET_MEDIA", Path(__file__).parents[1] / ".cache" / "media"))
    if not (folder / "WolfgangLanger_Pexels.mp4").is_file():
        pytest.fail(
            f"{folder} has no face videos: run `python tools/setup/fetch_media.py {folder}`, or set AST_NET_MEDIA"
        )
    return folder


def _module(path: str) -> ModuleType:
    """A module of this folder that several tests use; they cannot import each other by name."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(__file__).parent / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bags() -> ModuleType:
    """The module that writes bags."""
    return _module("bags/bag_fixtures.py")


@pytest.fixture(scope="session")
def policies() -> ModuleType:
    """The module that compares SROS 2 policies with running nodes."""
    return _module("ros/policies.py")


@pytest.fixture(scope="session")
def message_package() -> ModuleType:
    """The module that builds message packages which no registry has."""
    return _module("ros/message_package.py")


class Browser:
    """Headless Chromium with a new, empty profile: opens pages, and tells what they asked for and complained of."""

    def __init__(self, chromium: str, chromedriver: str, profile: Path):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for option in (*_CHROMIUM_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))

    def open(self, page: Path | str, width: int = 1280, height: int = 900) -> None:
        """Shows a file or an address in a window of that many CSS pixels; forgets what earlier pages did."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.console(), self.requests()
        self.driver.get(page.resolve().as_uri() if isinstance(page, Path) else page)

    def run(self, script: str) -> Any:
        """What a JavaScript function body returns; it works whatever the page itself may run."""
        return self.driver.execute_script(script)

    def console(self) -> list[str]:
        """Errors and warnings since the last call, those about refused or failed loading among them."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call, the page's own first; `data:` addresses hold what they name."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        # The browser's own first page may still be loading its parts.
        return [url for url in urls if not url.startswith(("data:", "chrome://"))]

    def screenshot(self, path: Path) -> None:
        """Writes the whole page, far beyond the window, as a PNG."""
        options = {"format": "png", "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]))

    def print_to_pdf(self, path: Path) -> None:
        """Writes the page as it would be printed on A4."""
        options = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True, "preferCSSPageSize": True}
        path.write_bytes(base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", options)["data"]))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests; they are skipped where the machine has no Chromium with its driver."""
    pytest.importorskip("selenium", reason="no selenium: pip install selenium")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium with ChromeDriver on this machine: apt-get install chromium chromium-driver")
    opened = Browser(chromium, chromedriver, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.driver.quit()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the plots of pages empty, which take most of the time, where only the rest of a page matters."""
    monkeypatch.setattr("ast_net_ros.evaluation.report.page_plots.svg_plot", lambda *_: "<svg></svg>")


_LIBRARIES = ("ast_net_ros", "click", "cv2", "numpy", "onnxruntime", "ray", "rclpy", "rosbags", "torch", "tqdm", "yaml")


@dataclass(frozen=True)
class Decoys:
    """A user's folder with a file named like each library; importing one only records which program did it."""

    folder: Path
    notes: Path

    def imported(self) -> list[str]:
        """What was imported, and by which program."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture(scope="module")
def decoys(tmp_path_factory: pytest.TempPathFactory) -> Decoys:
    """A folder from which nothing may be imported."""
    made = Decoys(tmp_path_factory.mktemp("users_folder"), tmp_path_factory.mktemp("decoys") / "imported")
    code = f"import sys\nwith open({str(made.notes)!r}, 'a') as file: print(__name__, 'by', sys.argv, file=file)\n"
    for name in {*sys.stdlib_module_names, *_LIBRARIES} - {*sys.builtin_module_names}:
        (made.folder / f"{name}.py").write_text(code)
    return made
