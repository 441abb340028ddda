"""The silhouettes, as an atlas of signed distances.

A silhouette is a function of points -> signed distance (negative inside, up to a factor near 1), built from discs,
ellipses and polygons by union and difference. y points down. The atlas holds each one scaled so that its box touches
[-1, 1] on its longer side, sampled on a square grid that reaches a quarter further.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import cos, pi, sin

import numpy as np

from examples.demo_model.vocabulary import SHAPES

Silhouette = Callable[[np.ndarray, np.ndarray], np.ndarray]
REACH = 1.25
_GRID = 128


def disc(x0: float, y0: float, r: float, flatten: float = 1.0) -> Silhouette:
    """`flatten` below 1 makes an ellipse; its distance is right at the rim only, to first order."""
    if flatten == 1.0:
        return lambda x, y: np.hypot(x - x0, y - y0) - r

    def ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (x - x0) / r, (y - y0) / (r * flatten)
        k = np.hypot(u, v)
        slope = np.hypot(u / r, v / (r * flatten)) + 1e-6
        return np.where(k < 0.3, -0.3 * r * flatten, k * (k - 1) / slope)

    return ellipse


def polygon(*corners: tuple[float, float]) -> Silhouette:
    points = np.array(corners)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest = np.full(x.shape, np.inf)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, 0), strict=True):
            ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
            t = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, np.hypot(px - t * ex, py - t * ey))
            if ay != by:
                inside ^= ((ay > y) != (by > y)) & (px < ex * py / ey)
        return np.where(inside, -nearest, nearest)

    return distance


def union(*parts: Silhouette) -> Silhouette:
    return lambda x, y: np.minimum.reduce([part(x, y) for part in parts])


def without(whole: Silhouette, *holes: Silhouette) -> Silhouette:
    return lambda x, y: np.maximum.reduce([whole(x, y), *(-hole(x, y) for hole in holes)])


def box(x0: float, y0: float, x1: float, y1: float) -> Silhouette:
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def regular(corners: int, inner: float = 1.0, points: int = 1) -> list[tuple[float, float]]:
    """Corners on the unit circle, the first at the top; every second one at `inner` if `points` is 2."""
    radii = (1.0, inner) if points == 2 else (1.0,)
    n = corners * points
    return [(radii[k % points] * sin(2 * pi * k / n), -radii[k % points] * cos(2 * pi * k / n)) for k in range(n)]


def _heart() -> Silhouette:
    turns = np.linspace(0, 2 * pi, 96, endpoint=False)
    return polygon(
        *(
            (16 * sin(t) ** 3 / 16, -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 16)
            for t in turns.tolist()
        )
    )


def _sun() -> Silhouette:
    rays = []
    for k in range(8):
        c, s = cos(k * pi / 4), sin(k * pi / 4)
        corners = ((0.45, -0.2), (1.0, 0.0), (0.45, 0.2))
        rays.append(polygon(*((c * r - s * w, s * r + c * w) for r, w in corners)))
    return union(disc(0, 0, 0.52), *rays)


def _smile() -> Silhouette:
    lower = without(disc(0, 0.12, 0.56), disc(0, 0.12, 0.36), box(-1, -1, 1, 0.2))
    return without(disc(0, 0, 1), disc(-0.36, -0.28, 0.17), disc(0.36, -0.28, 0.17), lower)


def _flower() -> Silhouette:
    petals = [disc(0.6 * sin(k * pi / 3), -0.6 * cos(k * pi / 3), 0.36) for k in range(6)]
    return without(union(disc(0, 0, 0.5), *petals), disc(0, 0, 0.24))


def _cross() -> Silhouette:
    return union(box(-1, -0.33, 1, 0.33), box(-0.33, -1, 0.33, 1))


_SILHOUETTES: dict[str, Silhouette] = {
    "circle": disc(0, 0, 1),
    "square": box(-1, -1, 1, 1),
    "triangle": polygon((0, -1), (1.1, 0.95), (-1.1, 0.95)),
    "rectangle": box(-1, -0.5, 1, 0.5),
    "ellipse": disc(0, 0, 1, flatten=0.58),
    "diamond": polygon((0, -1), (0.72, 0), (0, 1), (-0.72, 0)),
    "star": polygon(*regular(5, 0.42, 2)),
    "heart": _heart(),
    "cross": _cross(),
    "ring": without(disc(0, 0, 1), disc(0, 0, 0.52)),
    "crescent": without(disc(0, 0, 1), disc(0.48, -0.12, 0.82)),
    "semicircle": without(disc(0, 0, 1), box(-2, 0, 2, 2)),
    "arrow": polygon((0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 1), (-0.3, 1), (-0.3, -0.1), (-0.8, -0.1)),
    "house": without(
        union(box(-0.75, -0.1, 0.75, 1), polygon((0, -1), (1, -0.08), (-1, -0.08))), box(-0.2, 0.35, 0.2, 1.1)
    ),
    "tree": union(
        polygon((0, -1), (0.55, -0.25), (-0.55, -0.25)),
        polygon((0, -0.6), (0.75, 0.45), (-0.75, 0.45)),
        box(-0.16, 0.4, 0.16, 1),
    ),
    "flower": _flower(),
    "smiley": _smile(),
    "cloud": union(disc(-0.58, 0.12, 0.36), disc(-0.1, -0.14, 0.48), disc(0.5, 0.06, 0.42), box(-0.58, 0.1, 0.5, 0.48)),
    "fish": without(
        union(disc(-0.2, 0, 0.78, flatten=0.62), polygon((0.35, 0), (1, -0.52), (1, 0.52))), disc(-0.58, -0.1, 0.09)
    ),
    "sun": _sun(),
}


@cache
def atlas() -> np.ndarray:
    """(shapes, grid, grid) float32: distance / half the extent, on [-REACH, REACH] squared, cell centres."""
    return np.stack([_sampled(_SILHOUETTES[name]) for name in SHAPES]).astype(np.float32)


def _sampled(silhouette: Silhouette) -> np.ndarray:
    fine = np.linspace(-1.4, 1.4, 561)
    x, y = np.meshgrid(fine, fine)
    inside = silhouette(x, y) < 0
    xs, ys = x[inside], y[inside]
    middle_x, middle_y = (xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2
    half = max(np.ptp(xs), np.ptp(ys)) / 2
    cells = (np.arange(_GRID) + 0.5) / _GRID * 2 * REACH - REACH
    x, y = np.meshgrid(cells, cells)
    return silhouette(x * half + middle_x, y * half + middle_y) / half
