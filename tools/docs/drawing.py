"""A few shapes that the figures of the documentation are composed of, as SVG.

The result is one `<svg>` element on one line, so that it can be placed in a page. Colours come from
docs/stylesheets/site.css by class, so that a figure follows the page's light or dark theme.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape


@dataclass
class Drawing:
    """Collects shapes. `title` is read by screen readers."""

    width: int
    height: int
    title: str
    _shapes: list[str] = field(default_factory=list)

    @property
    def _tip(self) -> str:
        """The marker's id. Drawings differ in it: a marker inside a hidden drawing is not drawn anywhere."""
        return f"d-tip-{self.width}-{self.height}"

    def box(self, x: float, y: float, width: float, height: float, kind: str = "plain", radius: float = 8) -> None:
        """Add a rounded rectangle. kind: plain, accent, warm, cool, quiet or lane."""
        self._shapes.append(
            f'<rect class="d-{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "label", anchor: str = "middle") -> None:
        """Add one line of text. kind: label, strong, small, code or head."""
        self._shapes.append(f'<text class="d-{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def labelled(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        name: str,
        lines: tuple[str, ...] = (),
        kind: str = "plain",
    ) -> None:
        """Add a box with a name and smaller lines below it; a line that ends in .py or / is set as code."""
        self.box(x, y, width, height, kind)
        top = y + height / 2 - 8 * len(lines) + 4
        self.text(x + width / 2, top, name, "strong")
        for index, line in enumerate(lines):
            of_code = line.endswith((".py", "/", ")")) or "~/" in line
            self.text(x + width / 2, top + 16 * (index + 1), line, "code" if of_code else "small")

    def polygon(self, points: tuple[tuple[float, float], ...], kind: str = "plain") -> None:
        """Add a closed shape."""
        corners = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._shapes.append(f'<polygon class="d-{kind}" points="{corners}"/>')

    def circle(self, x: float, y: float, radius: float, kind: str = "dot") -> None:
        """Add a filled circle."""
        self._shapes.append(f'<circle class="d-{kind}" cx="{x:g}" cy="{y:g}" r="{radius:g}"/>')

    def line(self, *points: tuple[float, float], kind: str = "line") -> None:
        """Add a line through the points, without an arrow."""
        self._shapes.append(f'<path class="d-{kind}" d="{_path(points)}"/>')

    def arrow(self, *points: tuple[float, float], kind: str = "arrow") -> None:
        """Add a line through the points with an arrow at its end."""
        self._shapes.append(f'<path class="d-{kind}" d="{_path(points)}" marker-end="url(#{self._tip})"/>')

    def curve(self, d: str) -> None:
        """Add an SVG path with an arrow at its end."""
        self._shapes.append(f'<path class="d-arrow" d="{d}" marker-end="url(#{self._tip})"/>')

    def svg(self) -> str:
        """Return the figure, as one line."""
        tip = (
            f'<defs><marker id="{self._tip}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto">'
            '<path class="d-tip" d="M0,0.6 L7.4,4 L0,7.4 Z"/></marker></defs>'
        )
        return (
            f'<svg class="drawing" role="img" aria-label="{escape(self.title)}" '
            f'viewBox="0 0 {self.width} {self.height}" xmlns="http://www.w3.org/2000/svg">{tip}{"".join(self._shapes)}</svg>'
        )


def _path(points: tuple[tuple[float, float], ...]) -> str:
    return "M" + " L".join(f"{x:g},{y:g}" for x, y in points)
