"""agreement.html in a real browser: every curve is seen, nothing is loaded, no name becomes markup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.evaluation.agreement.analysis import analyse
from ast_net_ros.evaluation.agreement.page import write_page
from ast_net_ros.evaluation.agreement.panels import read_panels

HOSTILE = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"


@pytest.fixture
def page(study, tmp_path) -> Path:
    made = study(recordings=2, seconds=30)
    made.write_all([0.0, 0.5, 0.2])
    made.write("asleep", 0, np.full((len(made.times), 2), 0.5))
    read = read_panels([made.folder])
    panels = tuple(replace(panel, name=HOSTILE, raters=(HOSTILE, *panel.raters[1:])) for panel in read.panels)
    path = tmp_path / "agreement.html"
    write_page(path, analyse(replace(read, panels=panels, left_out=(HOSTILE,)), {}))
    return path


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_curves_are_visible_and_nothing_runs_or_is_loaded(browser, page, width):
    browser.open(page, width)
    assert browser.requests() == [page.as_uri()]
    assert browser.console() == []
    plots = browser.run("""return [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect())
        .filter(box => box.width).map(box => [box.width, box.height])""")
    assert len(plots) == 2 and all(wide >= 250 and high >= 200 for wide, high in plots)
    assert browser.run("return [window.ran === undefined, document.scripts.length, document.images.length]") == [
        True,
        0,
        0,
    ]
    assert browser.run("return document.documentElement.scrollWidth") <= width, "the page must not scroll sideways"
    assert HOSTILE in browser.run("return document.body.innerText")
