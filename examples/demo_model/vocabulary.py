"""Colours, shapes, backdrops, and the words for them."""

from __future__ import annotations

RGB = {  # 0..255; far enough apart that a pixel's colour can be told by the nearest
    "red": (220, 30, 35),
    "orange": (250, 135, 15),
    "yellow": (250, 222, 40),
    "green": (40, 155, 60),
    "cyan": (60, 205, 215),
    "blue": (35, 75, 210),
    "purple": (125, 45, 170),
    "pink": (250, 140, 195),
    "brown": (120, 72, 36),
    "white": (250, 250, 250),
    "gray": (135, 135, 135),
    "black": (15, 15, 18),
}
COLOURS = tuple(RGB)
COLOUR_WORDS = {colour: (colour,) for colour in COLOURS} | {
    "gray": ("gray", "grey"),
    "purple": ("purple", "violet"),
    "cyan": ("cyan", "turquoise"),
}

SHAPE_WORDS = {  # the first is the usual one; (singular, plural)
    "circle": (("circle", "circles"), ("disc", "discs"), ("disk", "disks"), ("ball", "balls")),
    "square": (("square", "squares"),),
    "triangle": (("triangle", "triangles"),),
    "rectangle": (("rectangle", "rectangles"),),
    "ellipse": (("ellipse", "ellipses"), ("oval", "ovals")),
    "diamond": (("diamond", "diamonds"), ("rhombus", "rhombuses")),
    "star": (("star", "stars"),),
    "heart": (("heart", "hearts"),),
    "cross": (("cross", "crosses"), ("plus sign", "plus signs")),
    "ring": (("ring", "rings"), ("donut", "donuts")),
    "crescent": (("crescent", "crescents"), ("crescent moon", "crescent moons"), ("moon", "moons")),
    "semicircle": (("semicircle", "semicircles"), ("half circle", "half circles")),
    "arrow": (("arrow", "arrows"), ("arrow pointing up", "arrows pointing up")),
    "house": (("house", "houses"),),
    "tree": (("tree", "trees"),),
    "flower": (("flower", "flowers"),),
    "smiley": (("smiley", "smileys"), ("smiley face", "smiley faces")),
    "cloud": (("cloud", "clouds"),),
    "fish": (("fish", "fish"),),
    "sun": (("sun", "suns"),),
}
SHAPES = tuple(SHAPE_WORDS)
SOLID = ("circle", "square", "triangle", "diamond", "heart", "star")  # another object fits inside

SIZE_WORDS = {
    "small": ("small", "small", "tiny", "little"),
    "medium": ("", "", "", "medium", "medium-sized"),
    "large": ("large", "large", "big", "huge"),
}
COUNT_WORDS = {1: ("one", "1"), 2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4"), 5: ("five", "5")}

PLACES = {  # of one object: (x, y) in -1 (left, top) .. 1
    "top": (0, -1),
    "bottom": (0, 1),
    "left": (-1, 0),
    "right": (1, 0),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
}

PATTERNS = ("plain", "gradient", "horizon", "stripes", "checks", "stars")  # backdrops as draw.py numbers them
SCENERY = {  # name: (pattern, RGB above, RGB below, colours that cannot be told apart from it)
    "meadow": ("horizon", (140, 200, 245), (95, 175, 75), ("green", "cyan", "blue")),
    "beach": ("horizon", (140, 200, 245), (238, 214, 150), ("cyan", "yellow", "white", "orange", "blue")),
    "snow": ("horizon", (120, 170, 220), (245, 248, 252), ("white", "cyan", "gray", "blue")),
    "sea": ("horizon", (175, 220, 250), (25, 95, 165), ("blue", "cyan", "white", "purple")),
    "night": ("stars", (8, 10, 40), (30, 40, 90), ("black", "blue", "purple", "brown")),
    "sunset": ("gradient", (90, 50, 130), (252, 150, 60), ("orange", "purple", "red", "brown", "pink")),
}
