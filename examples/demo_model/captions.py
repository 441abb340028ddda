"""A scene -> one of its captions: articles or none, synonyms, several orders, digits or words."""

from __future__ import annotations

from random import Random

from examples.demo_model.scenes import Backdrop, Group, Scene
from examples.demo_model.vocabulary import COLOUR_WORDS, COUNT_WORDS, SHAPE_WORDS, SIZE_WORDS

_OPENINGS = ("", "", "", "", "a picture of ", "an image of ", "a drawing of ", "draw ", "show me ", "there is ")
_SCENERY = {
    "meadow": (
        "in a meadow",
        "on a meadow",
        "on green grass",
        "on the grass under a blue sky",
        "in a green field under a blue sky",
        "on green grass under a blue sky",
    ),
    "beach": ("on the beach", "at the beach", "on a sandy beach", "on the sand under a blue sky"),
    "snow": ("in the snow", "on snow", "in a snowy landscape", "on the snow under a blue sky"),
    "sea": ("at sea", "over the sea", "over the ocean", "above the sea"),
    "night": ("at night", "in the night sky", "in a starry sky", "in a starry night sky", "among the stars at night"),
    "sunset": ("at sunset", "in front of a sunset", "against a sunset sky", "in the evening sky"),
}
_PLACES = {
    "top": ("at the top", "at the top of the picture", "near the top"),
    "bottom": ("at the bottom", "at the bottom of the picture", "near the bottom"),
    "left": ("on the left", "on the left side", "at the left", "to the left"),
    "right": ("on the right", "on the right side", "at the right", "to the right"),
}
_BARE = {word for words in COLOUR_WORDS.values() for word in words}
_MIDDLE = ("in the center", "in the middle", "in the centre", "centered", "at the center")
_ABOVE = ("above", "above", "over", "on top of", "higher than")
_BELOW = ("below", "below", "under", "beneath", "underneath")


def caption(scene: Scene, random: Random) -> str:
    """One wording; only case, articles, synonyms and order depend on `random`, never what is meant."""
    what = _what(scene, random)
    where = _backdrop(scene.backdrop, random)
    if where and random.random() < 0.15:
        text = f"{where}, {what}"
    else:
        opening = random.choice(_OPENINGS)
        if opening == "there is " and (scene.groups[0].count > 1):
            opening = "there are "
        text = f"{opening}{what}"
        if where:
            bare = where.split()[0] in _BARE  # "a red circle, blue background"
            text += (", " if bare else random.choice((" ", " ", " ", ", "))) + where
    if random.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + random.choice(("", "", "", "."))


def _what(scene: Scene, random: Random) -> str:
    names = [noun_phrase(group, random) for group in scene.groups]
    if scene.relation is None:
        return _one_group(scene, names[0], random)
    if scene.relation == "row":
        a, b, c = names
        return random.choice((f"{a}, {b} and {c}", f"{a}, {b}, and {c}", f"{a}, {b} and {c} in a row"))
    a, b = names
    verb = random.choice(("", "", "", "is " if scene.groups[0].count == 1 else "are "))
    other = random.choice(("", "", "", "is " if scene.groups[1].count == 1 else "are "))
    if scene.relation == "above":
        return random.choice(
            (
                f"{a} {verb}{random.choice(_ABOVE)} {b}",
                f"{a} {verb}{random.choice(_ABOVE)} {b}",
                f"{b} {other}{random.choice(_BELOW)} {a}",
                f"{a} at the top and {b} at the bottom",
            )
        )
    if scene.relation == "left":
        return random.choice(
            (
                f"{a} {verb}{random.choice(('to the left of', 'left of', 'on the left of'))} {b}",
                f"{b} {other}{random.choice(('to the right of', 'right of', 'on the right of'))} {a}",
                f"{a} on the left and {b} on the right",
                f"{a} {random.choice(('and', 'next to', 'beside', 'and'))} {b}",
            )
        )
    return random.choice(
        (
            f"{a} {verb}inside {b}",
            f"{a} {verb}in {b}",
            f"{b} with {a} inside",
            f"{a} {verb}in front of {b}",
            f"{b} {random.choice(('containing', 'behind'))} {a}",
        )
    )


def _one_group(scene: Scene, name: str, random: Random) -> str:
    if scene.arrangement:
        row = ("in a row", "side by side", "in a line") if scene.arrangement == "row" else ("in a column", "stacked")
        return f"{name} {random.choice(row)}"
    if scene.groups[0].count > 1:
        return name
    if scene.place is None:
        return f"{name} {random.choice(_MIDDLE)}" if random.random() < 0.15 else name
    if scene.place in _PLACES:
        return f"{name} {random.choice(_PLACES[scene.place])}"
    place = scene.place.replace("top", random.choice(("top", "top", "upper"))).replace(
        "bottom", random.choice(("bottom", "bottom", "lower"))
    )
    return f"{name} {random.choice((f'in the {place} corner', f'in the {place}', f'at the {place}'))}"


def noun_phrase(group: Group, random: Random) -> str:
    """Count, size, colours, shape: "two small red circles"."""
    names = SHAPE_WORDS[group.shape]
    singular, plural = random.choice(names) if random.random() < 0.4 else names[0]
    name = singular if group.count == 1 else plural
    size = random.choice(SIZE_WORDS[group.size])
    colour = random.choice(COLOUR_WORDS[group.colour])
    second = random.choice(COLOUR_WORDS[group.colour_2]) if group.colour_2 else ""
    if group.texture == "plain":
        described = _plain(name, size, colour, group.count, random)
    elif group.texture == "striped":
        described = random.choice(
            (
                f"{size} {colour} and {second} striped {name}",
                f"{size} {name} with {colour} and {second} stripes",
                f"{size} striped {name} in {colour} and {second}",
            )
        )
    elif group.texture == "dotted":
        described = random.choice(
            (
                f"{size} {colour} {name} with {second} {random.choice(('dots', 'spots', 'polka dots'))}",
                f"{size} {colour} {name} with {second} dots",
            )
        )
    else:
        checked = random.choice(("checkered", "checked"))
        described = random.choice(
            (f"{size} {colour} and {second} {checked} {name}", f"{size} {checked} {name} in {colour} and {second}")
        )
    return _counted(" ".join(described.split()), group.count, random)


def _plain(name: str, size: str, colour: str, count: int, random: Random) -> str:
    turn = random.random()
    if turn < 0.82:
        return f"{size} {colour} {name}"
    if turn < 0.88:
        return f"{colour} {size} {name}"
    if turn < 0.94:
        return f"{size} {name} in {colour}"
    return f"{size} {name} that {'is' if count == 1 else 'are'} {colour}"


def _counted(described: str, count: int, random: Random) -> str:
    if count > 1:
        return f"{random.choice(COUNT_WORDS[count])} {described}"
    turn = random.random()
    if turn < 0.08:
        return f"the {described}"
    if turn < 0.16:
        return described
    if turn < 0.20:
        return f"{random.choice(COUNT_WORDS[1])} {described}"
    return f"{'an' if described[0] in 'aeio' else 'a'} {described}"


def _backdrop(backdrop: Backdrop, random: Random) -> str:
    if not backdrop.said:
        return ""
    if backdrop.pattern in _SCENERY:
        return random.choice(_SCENERY[backdrop.pattern])
    words = [random.choice(COLOUR_WORDS[colour]) for colour in backdrop.colours]
    surface = random.choice(("background", "background", "background", "backdrop"))
    first = _article(words[0])
    if backdrop.pattern == "plain":
        return random.choice(
            (
                f"on {first} {words[0]} {surface}",
                f"on {first} {words[0]} {surface}",
                f"against {first} {words[0]} {surface}",
                f"with {first} {words[0]} {surface}",
                f"on {words[0]}",
                f"{words[0]} {surface}",
            )
        )
    both = f"{words[0]} and {words[1]}"
    if backdrop.pattern == "gradient":
        return random.choice(
            (
                f"on a gradient from {words[0]} to {words[1]}",
                f"on {first} {words[0]} to {words[1]} gradient",
                f"on a {surface} fading from {words[0]} to {words[1]}",
                f"with {first} {words[0]} to {words[1]} gradient {surface}",
            )
        )
    if backdrop.pattern == "stripes":
        return random.choice((f"on {first} {both} striped {surface}", f"on {both} stripes"))
    return random.choice((f"on {first} {both} checkered {surface}", f"on {first} {both} checkerboard"))


def _article(word: str) -> str:
    return "an" if word[0] in "aeio" else "a"
