"""A scene -> where its objects lie: a row of numbers for each, and one for the backdrop.

Positions and extents are in parts of the picture's side. The extent of an object is the longer side of its box:
small is about a quarter, medium a half, large two thirds or more; several objects share what there is.
"""

from __future__ import annotations

from random import Random

import numpy as np

from examples.demo_model.scenes import TEXTURES, Group, Scene
from examples.demo_model.vocabulary import PATTERNS, PLACES, RGB, SCENERY, SHAPES

MAX_OBJECTS = 6
OBJECT_FIELDS = 11  # shape (-1: none), x, y, extent, texture, RGB, RGB of the texture
BACKDROP_FIELDS = 7  # pattern, RGB, RGB

_ALONE = {"small": (0.23, 0.29), "medium": (0.42, 0.50), "large": (0.65, 0.76)}
_SEVERAL = {  # by the number of objects along the fuller axis
    2: {"small": (0.17, 0.20), "medium": (0.27, 0.31), "large": (0.38, 0.42)},
    3: {"small": (0.14, 0.16), "medium": (0.20, 0.23), "large": (0.26, 0.29)},
    4: {"small": (0.12, 0.14), "medium": (0.155, 0.17), "large": (0.185, 0.205)},
}
_BESIDE = {  # a group of 1, 2 or 3 that shares the picture with another
    1: {"small": (0.18, 0.22), "medium": (0.30, 0.34), "large": (0.41, 0.45)},
    2: {"small": (0.16, 0.19), "medium": (0.25, 0.29), "large": (0.36, 0.40)},
    3: {"small": (0.13, 0.16), "medium": (0.19, 0.22), "large": (0.25, 0.28)},
}
_JITTER = 0.012


def lay_out(scene: Scene, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """(MAX_OBJECTS, OBJECT_FIELDS) in drawing order and (BACKDROP_FIELDS,), float32."""
    rows: list[list[float]] = []
    for group, centres, sizes in _placed(scene, random):
        extent = random.uniform(*sizes)
        colours = [*_rgb(group.colour, random), *_rgb(group.colour_2 or group.colour, random)]
        for x, y in centres:
            x, y = (v + random.uniform(-_JITTER, _JITTER) for v in (x, y))
            rows.append([SHAPES.index(group.shape), x, y, extent, TEXTURES.index(group.texture), *colours])
    objects = np.full((MAX_OBJECTS, OBJECT_FIELDS), -1, np.float32)
    objects[: len(rows)] = rows
    return objects, np.array(_backdrop(scene, random), np.float32)


Placed = list[tuple[Group, list[tuple[float, float]], tuple[float, float]]]


def _placed(scene: Scene, random: Random) -> Placed:
    """Each group with its centres and the range of its extent, back to front."""
    first = scene.groups[0]
    if scene.relation is None:
        if first.count == 1:
            sizes = _ALONE[first.size]
            reach = 0.5 - sizes[1] / 2 - 0.03
            x, y = PLACES.get(scene.place or "", (0, 0))
            return [(first, [(0.5 + x * reach, 0.5 + y * reach)], sizes)]
        centres = _several(first.count, scene.arrangement)
        along = max(len({x for x, _ in centres}), len({y for _, y in centres}))
        return [(first, centres, _SEVERAL[min(along, 4)][first.size])]
    if scene.relation == "inside":
        inner, outer = scene.groups
        y = 0.58 if outer.shape == "triangle" else 0.47 if outer.shape == "heart" else 0.5
        return [(outer, [(0.5, 0.5)], (0.74, 0.84)), (inner, [(0.5, y)], (0.20, 0.25))]
    if scene.relation == "row":
        return [(group, [(0.19 + 0.31 * k, 0.5)], (0.23, 0.26)) for k, group in enumerate(scene.groups)]
    placed: Placed = []
    for group, middle in zip(scene.groups, (0.26, 0.74), strict=True):
        spread = [(k + 0.5) / group.count if group.count > 1 else 0.5 for k in range(group.count)]
        spread = [0.5 + (v - 0.5) * 0.94 for v in spread]
        centres = [(v, middle) if scene.relation == "above" else (middle, v) for v in spread]
        placed.append((group, centres, _BESIDE[group.count][group.size]))
    return placed


def _several(count: int, arrangement: str | None) -> list[tuple[float, float]]:
    """Unless told otherwise two and three lie side by side, four in a square, five as on a die."""
    if arrangement is None and count == 4:
        return [(x, y) for y in (0.27, 0.73) for x in (0.27, 0.73)]
    if arrangement is None and count == 5:
        return [(0.19, 0.19), (0.81, 0.19), (0.5, 0.5), (0.19, 0.81), (0.81, 0.81)]
    along = [0.5 + ((k + 0.5) / count - 0.5) * 0.94 for k in range(count)]
    return [(0.5, v) if arrangement == "column" else (v, 0.5) for v in along]


def _backdrop(scene: Scene, random: Random) -> list[float]:
    backdrop = scene.backdrop
    if backdrop.pattern in SCENERY:
        pattern, above, below, _ = SCENERY[backdrop.pattern]
        return [PATTERNS.index(pattern), *(v / 255 for v in above), *(v / 255 for v in below)]
    colours = [_rgb(colour, random) for colour in backdrop.colours]
    return [PATTERNS.index(backdrop.pattern), *colours[0], *colours[-1]]


def _rgb(colour: str, random: Random) -> list[float]:
    return [min(max(v / 255 + random.uniform(-0.01, 0.01), 0.0), 1.0) for v in RGB[colour]]
