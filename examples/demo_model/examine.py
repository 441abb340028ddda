"""A scene that was asked for, and what was measured in the picture -> what is right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from examples.demo_model.measure import Picture, Seen
from examples.demo_model.scenes import Scene
from examples.demo_model.vocabulary import PLACES

_LEAST_OVERLAP = 0.6  # with the ideal drawing; below it an object has no shape at all
_ALONE = {"small": (0.18, 0.36), "medium": (0.36, 0.57), "large": (0.60, 0.90)}  # extents in parts of the side
_OFF_CENTRE = 0.08


@dataclass(frozen=True)
class Verdict:
    """Each is one claim of the prompt; None where the prompt makes no such claim.

    `colour` and `shape` hold where exactly the colours and exactly the shapes asked for are seen, `pairs` where every
    colour is on its shape; `count` where there are as many of each pair; `everything` is all of them.
    """

    colour: bool
    shape: bool
    pairs: bool
    count: bool
    position: bool | None
    size: bool | None
    background: bool

    @property
    def everything(self) -> bool:
        claims = (self.pairs, self.count, self.position, self.size, self.background)
        return all(claim is not False for claim in claims)


def measurable(scene: Scene) -> bool:
    """Those on a plain ground; the others have to be looked at."""
    return scene.backdrop.pattern == "plain"


def examine(scene: Scene, picture: Picture) -> Verdict:
    wanted: Counter[tuple[str, frozenset[str]]] = Counter()
    for group in scene.groups:
        wanted[group.shape, frozenset({group.colour, group.colour_2} - {None})] += group.count  # type: ignore[arg-type]
    found = Counter((_shape(seen), seen.colours) for seen in picture.objects)
    pairs = set(wanted) == set(found)
    return Verdict(
        colour={colours for _, colours in wanted} == {colours for _, colours in found},
        shape={shape for shape, _ in wanted} == {shape for shape, _ in found},
        pairs=pairs,
        count=wanted.total() == found.total() and (not pairs or wanted == found),
        position=_position(scene, picture),
        size=_size(scene, picture),
        background=picture.ground == scene.backdrop.colours[0],
    )


def _shape(seen: Seen) -> str:
    return seen.shape if seen.overlap >= _LEAST_OVERLAP else "none"


def _size(scene: Scene, picture: Picture) -> bool | None:
    """Only of one object alone: elsewhere sizes are relative."""
    if len(scene.groups) > 1 or scene.groups[0].count > 1:
        return None
    least, most = _ALONE[scene.groups[0].size]
    return len(picture.objects) == 1 and least <= picture.objects[0].extent <= most


def _position(scene: Scene, picture: Picture) -> bool | None:
    groups = [_of_group(scene, k, picture) for k in range(len(scene.groups))]
    if not all(groups):
        return False
    if scene.relation is None:
        return _alone(scene, groups[0])
    if scene.relation == "row":
        xs = [group[0].x for group in groups]
        return xs == sorted(xs)
    first, second = groups
    if scene.relation == "above":
        return max(seen.y for seen in first) < min(seen.y for seen in second)
    if scene.relation == "left":
        return max(seen.x for seen in first) < min(seen.x for seen in second)
    inner, outer = first[0], second[0]
    near = outer.extent / 2 - inner.extent / 2
    return inner.extent < outer.extent and max(abs(inner.x - outer.x), abs(inner.y - outer.y)) < near


def _of_group(scene: Scene, number: int, picture: Picture) -> list[Seen]:
    """What was seen of a group, left to right; two equal groups in a row are told apart by their order."""
    group = scene.groups[number]
    colours = {group.colour, group.colour_2} - {None}
    found = [seen for seen in picture.objects if seen.colours == colours and seen.shape == group.shape]
    found.sort(key=lambda seen: (seen.y, seen.x) if scene.relation == "above" else (seen.x, seen.y))
    equal = [k for k, other in enumerate(scene.groups) if (other.shape, other.colour) == (group.shape, group.colour)]
    if len(equal) == 1:
        return found
    before = sum(scene.groups[k].count for k in equal if k < number)
    return found[before : before + group.count]


def _alone(scene: Scene, found: list[Seen]) -> bool | None:
    if len(found) > 1 or scene.groups[0].count > 1:
        xs, ys = ([getattr(seen, axis) for seen in found] for axis in "xy")
        if scene.arrangement == "row":
            return max(ys) - min(ys) < 0.12
        return max(xs) - min(xs) < 0.12 if scene.arrangement == "column" else None
    (seen,) = found
    x, y = PLACES.get(scene.place or "", (0, 0))
    least = 0.04 if scene.groups[0].size == "large" else 0.12  # a large one has little room to move
    return _lies(seen.x - 0.5, x, least) and _lies(seen.y - 0.5, y, least)


def _lies(off: float, side: int, least: float) -> bool:
    return abs(off) < _OFF_CENTRE if side == 0 else off * side > least
