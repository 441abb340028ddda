"""What a picture holds: sampling scenes, and which of them are held out.

A scene says nothing of words or pixels. Every twentieth, by a hash of its whole content, is held out: training never
sees it in any wording, so a held-out prompt always asks for a combination that is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from examples.demo_model.vocabulary import COLOURS, PLACES, SCENERY, SHAPES, SOLID

_HELD_OUT_EVERY = 20
_KINDS = ("one", "several", "two", "inside", "three")
SHARES = (34, 18, 32, 6, 10)  # of these kinds, in prompts to examine
HARD_SHARES = (22, 12, 38, 8, 20)  # in training: more of what is learnt last
_COUNTS_OF_TWO = (*((1, 1),) * 8, *((1, 2), (2, 1), (2, 2)) * 2, (1, 3), (3, 1), (2, 3), (3, 2))
TEXTURES = ("plain", "striped", "dotted", "checkered")


@dataclass(frozen=True)
class Group:
    """`count` equal objects. `colour_2` is the second colour of a texture."""

    shape: str
    colour: str
    count: int = 1
    size: str = "medium"
    texture: str = "plain"
    colour_2: str | None = None


@dataclass(frozen=True)
class Backdrop:
    """A pattern of `colours`, or a scenery by name. `said` is whether a caption names it: the unsaid one follows
    from the objects (white, gray where a white object would vanish)."""

    pattern: str
    colours: tuple[str, ...] = ()
    said: bool = True


@dataclass(frozen=True)
class Scene:
    """One to three groups. `relation` is how the first stands to the second: above, left, inside, or row for three.

    `place` is of one group (a key of PLACES; None: centred), `arrangement` of one group of several: row or column.
    """

    groups: tuple[Group, ...]
    backdrop: Backdrop
    relation: str | None = None
    place: str | None = None
    arrangement: str | None = None

    def held_out(self) -> bool:
        digest = hashlib.blake2b(repr(self).encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") % _HELD_OUT_EVERY == 0


def sample_scene(random: Random, held_out: bool = False, shares: Sequence[int] = SHARES) -> Scene:
    """A scene of the wanted side of the split; `shares` are those of one, several equal, two kinds, inside, three."""
    while True:
        scene = _any_scene(random, shares)
        if scene.held_out() == held_out:
            return scene


def unsaid_backdrop(groups: tuple[Group, ...]) -> Backdrop:
    seen = {colour for group in groups for colour in (group.colour, group.colour_2)}
    return Backdrop("plain", ("gray",) if "white" in seen and "gray" not in seen else ("white",), said=False)


def _any_scene(random: Random, shares: Sequence[int]) -> Scene:
    kind = random.choices(_KINDS, shares)[0]
    backdrop = _backdrop(random)
    taken = _colours_near(backdrop)
    place = arrangement = relation = None
    if kind == "one":
        groups = (_group(random, taken, textured=0.2),)
        place = random.choice((None, None, *PLACES)) if random.random() < 0.6 else None
    elif kind == "several":
        groups = (replace(_group(random, taken), count=random.choice((2, 2, 3, 3, 4, 5))),)
        arrangement = random.choice((None, None, "row", "column")) if groups[0].count <= 4 else None
    elif kind == "two":
        relation = random.choice(("above", "left"))
        groups = _two(random, taken)
    elif kind == "inside":
        relation = "inside"
        outer = replace(_group(random, taken), shape=random.choice(SOLID), size="large")
        groups = (replace(_group(random, {*taken, outer.colour}), size="small"), outer)
    else:
        relation = "row"
        groups = tuple(replace(_group(random, taken), size="medium") for _ in range(3))
    if not backdrop.said:
        backdrop = unsaid_backdrop(groups)
        if backdrop.colours == ("white",) and any("white" in (group.colour, group.colour_2) for group in groups):
            return _any_scene(random, shares)  # white and gray objects on nothing said
    return Scene(groups, backdrop, relation, place, arrangement)


def _two(random: Random, taken: set[str]) -> tuple[Group, ...]:
    counts = random.choice(_COUNTS_OF_TWO)
    textured = 0.08 if counts == (1, 1) else 0.0
    first = _group(random, taken, textured)
    other = _group(random, taken if random.random() < 0.15 else {*taken, first.colour}, textured)
    return tuple(replace(group, count=count) for group, count in zip((first, other), counts, strict=True))


def _group(random: Random, taken: set[str], textured: float = 0.0) -> Group:
    colour = random.choice([colour for colour in COLOURS if colour not in taken])
    size = random.choices(("small", "medium", "large"), (3, 5, 3))[0]
    group = Group(random.choice(SHAPES), colour, size=size)
    if random.random() < textured and size != "small":
        other = random.choice([c for c in COLOURS if c != colour and c not in taken])
        group = replace(group, texture=random.choice(TEXTURES[1:]), colour_2=other)
    return group


def _backdrop(random: Random) -> Backdrop:
    kind = random.choices(("unsaid", "plain", "gradient", "stripes", "checks", "scenery"), (22, 50, 7, 4, 3, 14))[0]
    if kind == "unsaid":
        return Backdrop("plain", said=False)
    if kind == "scenery":
        return Backdrop(random.choice(tuple(SCENERY)))
    return Backdrop(kind, tuple(random.sample(COLOURS, 1 if kind == "plain" else 2)))


def _colours_near(backdrop: Backdrop) -> set[str]:
    return set(SCENERY[backdrop.pattern][3]) if backdrop.pattern in SCENERY else set(backdrop.colours)
