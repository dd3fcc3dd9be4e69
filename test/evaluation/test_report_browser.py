"""report.html in a real browser: every plot is seen, nothing is loaded, no name becomes markup, and it prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.evaluation.comparison import compare_results
from ast_net_ros.evaluation.metrics.intervals import Resampling
from ast_net_ros.evaluation.metrics.summary import MetricOptions, evaluation_metrics
from ast_net_ros.evaluation.recording_result import RecordingResult
from ast_net_ros.evaluation.report.page import write_report

HOSTILE = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
PLOTS = 2 + 2 * 5  # errors and confidence of both; of each two curves (one hidden), path, errors, confidence


def recording(name: str, phase: float) -> RecordingResult:
    seconds = np.arange(600) / 10
    trajectory = np.stack([np.sin(seconds / 5 + phase), np.cos(seconds / 7)], 1) * 0.6
    return RecordingResult(
        name=name,
        path=f"/bags/{name}",
        topic=f"/camera/{name}",
        mode="offline",
        stamps_ns=(seconds * 1e9).astype(np.int64),
        face_ids=[name] * 600,
        predicted=0.8 * trajectory + 0.1,
        truth=trajectory,
        confidence=0.5 + 0.4 * np.sin(seconds) ** 2,
        state_age=seconds,
        faces=np.ones(600, np.int64),
        about={"problems": [name], "partial": True},
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    results = [recording(HOSTILE, 0.0), recording("calm", 1.0)]
    options = MetricOptions(resampling=Resampling(resamples=50))
    metrics = evaluation_metrics(results, options, {"command": HOSTILE, "versions": {"torch": "2"}})
    other = evaluation_metrics([replace(r, predicted=r.predicted * 0.9) for r in results], options)
    metrics["comparison"] = compare_results(metrics, other, options.resampling)
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, metrics, results, thumbnails=False)
    return path


SEEN_PLOTS = """return [...document.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const drawn = [...svg.querySelectorAll("path")].some(path => path.getBoundingClientRect().width > 50);
    return {label: svg.getAttribute("aria-label"), width: box.width, height: box.height, drawn};
})"""


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_every_plot_is_visible_and_nothing_is_loaded(browser, report, width):
    browser.open(report, width)
    assert browser.requests() == [report.as_uri()]
    assert browser.console() == []
    plots = browser.run(SEEN_PLOTS)
    shown = [plot for plot in plots if plot["width"]]
    assert len(plots) == PLOTS and len(shown) == PLOTS - 2, "of each recording one of the two curves is hidden"
    for plot in shown:
        assert plot["width"] >= 250 and plot["height"] >= 200 and plot["drawn"], plot
    least = browser.run("""return Math.min(...[...document.querySelectorAll("svg text")]
        .map(text => text.getBoundingClientRect().height).filter(height => height > 0))""")
    assert least >= 9, "text in a plot is too small to read"
    assert browser.run("return document.documentElement.scrollWidth") <= width, "the page must not scroll sideways"


def test_hostile_names_are_shown_as_text(browser, report):
    browser.open(report)
    assert browser.run("return [window.ran === undefined, document.scripts.length, document.images.length]") == [
        True,
        0,
        0,
    ]
    text = browser.run("return document.body.innerText")
    assert text.count(HOSTILE) >= 8  # notice, table, comparison, heading, path, topic, face, problem, command
    assert browser.run("return document.querySelector('#recording-1 h2 bdi').textContent") == HOSTILE


def test_the_browser_test_detects_scripts_and_requests(browser, report, tmp_path):
    broken = tmp_path / "broken.html"
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    page = report.read_text(encoding="utf-8").replace(policy, "")
    broken.write_text(
        page.replace("</main>", HOSTILE + "<script>console.error('bad')</script></main>"), encoding="utf-8"
    )
    browser.open(broken)
    assert browser.run("return window.ran") == 2
    assert any(url.endswith("/x") for url in browser.requests())
    assert any("bad" in message for message in browser.console())
    # And with the policy in place even that markup would have done nothing.
    broken.write_text(report.read_text(encoding="utf-8").replace("</main>", HOSTILE + "</main>"), encoding="utf-8")
    browser.open(broken)
    assert browser.run("return window.ran === undefined") is True
    assert any("Content Security Policy" in message for message in browser.console())


def test_the_report_prints(browser, report, tmp_path):
    browser.open(report)
    browser.print_to_pdf(tmp_path / "report.pdf")
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and 2 <= pdf.count(b"/Type /Page\n") <= 12
