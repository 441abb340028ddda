"""A picture on a plain ground -> the objects that its pixels show: colours, silhouette, place, extent.

It is told nothing of the prompt. Objects are connected pixels unlike the ground; a colour is the palette's nearest,
asked of flat pixels only, since an antialiased edge between red and white is pink; a silhouette is the one whose ideal
drawing overlaps most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from examples.demo_model.shapes import REACH, atlas
from examples.demo_model.vocabulary import COLOURS, RGB, SHAPES

_PALETTE = np.array([RGB[colour] for colour in COLOURS], np.float32)
_UNLIKE = 45.0  # distance in RGB, of 255, at which a pixel is not ground
_FLAT = 40.0  # largest spread of a channel over 3x3 pixels
_SPECK = 0.0018  # of the picture's area: smaller components are not objects
_NAMED = 0.012  # of an object's flat pixels: a colour with less is not seen
_SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)


@dataclass(frozen=True)
class Seen:
    """One object. x, y and extent in parts of the side; `overlap` in [0, 1] with the ideal drawing of `shape`."""

    colours: frozenset[str]
    shape: str
    overlap: float
    x: float
    y: float
    extent: float


@dataclass(frozen=True)
class Picture:
    ground: str
    objects: tuple[Seen, ...]


def measure(picture: np.ndarray) -> Picture:
    """(P, P, 3) uint8."""
    pixels = picture.astype(np.float32)
    names = np.linalg.norm(pixels[:, :, None] - _PALETTE, axis=-1).argmin(-1)
    flat = _spread(pixels) < _FLAT
    border = np.concatenate([names[0], names[-1], names[:, 0], names[:, -1]])
    ground = np.bincount(border, minlength=len(COLOURS)).argmax()
    rim = np.zeros(names.shape, bool)
    rim[:2] = rim[-2:] = rim[:, :2] = rim[:, -2:] = True
    ground_rgb = np.median(pixels[rim & (names == ground)], axis=0)
    unlike = np.linalg.norm(pixels - ground_rgb, axis=-1) > _UNLIKE
    objects: list[Seen] = []
    for mask in components(unlike, _SPECK * unlike.size):
        objects += _objects(pixels, names, flat, mask, ground_rgb)
    return Picture(COLOURS[ground], tuple(objects))


def components(mask: np.ndarray, least: float) -> list[np.ndarray]:
    """The 4-connected parts of a mask that have at least so many pixels."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], labels)
        grown = np.where(mask, np.maximum.reduce(around), 0)
        grown = np.where(mask, np.maximum(grown, grown.ravel()[grown - 1]), 0)  # jump: a label is a pixel's number
        if (grown == labels).all():
            break
        labels = grown
    numbers, counts = np.unique(labels[mask], return_counts=True)
    return [labels == number for number, count in zip(numbers, counts, strict=True) if count >= least]


def _objects(
    pixels: np.ndarray, names: np.ndarray, flat: np.ndarray, mask: np.ndarray, ground: np.ndarray
) -> list[Seen]:
    """One object, or two where a single spot of another colour lies in the first."""
    inside = mask & flat
    if not inside.any():
        inside = mask
    shares = np.bincount(names[inside], minlength=len(COLOURS)) / inside.sum()
    found = [k for k in np.argsort(-shares) if shares[k] >= _NAMED]
    if len(found) == 2:
        spots = components(inside & (names == found[1]), 6)
        if len(spots) == 1 and not _reaches_out(spots[0], mask):
            main, spot = ([np.median(pixels[inside & (names == k)], axis=0)] for k in found)
            inner = _grown(spots[0], 3) & mask
            alpha = _coverage(pixels, main[0], spot[0]) * inner
            return [
                _seen(np.where(inner, 1.0, _coverage(pixels, ground, main[0]) * _grown(mask, 2)), found[:1]),
                _seen(alpha, found[1:]),
            ]
    if len(found) == 1:
        own = np.median(pixels[inside & (names == found[0])], axis=0)
        return [_seen(_coverage(pixels, ground, own) * _grown(mask, 2), found)]
    return [_seen(mask.astype(np.float32), found)]


def _seen(alpha: np.ndarray, colours: list[int]) -> Seen:
    side = len(alpha)
    ys, xs = np.nonzero(alpha > 0.5)
    if not len(ys):
        ys, xs = np.nonzero(alpha > 0)
    x, y = (xs.min() + xs.max() + 1) / 2 / side, (ys.min() + ys.max() + 1) / 2 / side
    extent = (max(np.ptp(xs), np.ptp(ys)) + 1) / side
    shape, overlap = _silhouette(alpha, x, y, extent)
    return Seen(frozenset(COLOURS[k] for k in colours), shape, overlap, float(x), float(y), float(extent))


def _silhouette(alpha: np.ndarray, x: float, y: float, extent: float) -> tuple[str, float]:
    """The silhouette whose drawing at this place overlaps most, as the sum of minima over the sum of maxima."""
    side = len(alpha)
    middles = (torch.arange(side) + 0.5) / side
    target = torch.from_numpy(alpha.astype(np.float32))
    known = torch.from_numpy(atlas())[:, None]
    best = torch.zeros(len(SHAPES))
    for scale in _SCALES:
        half = extent * scale / 2
        v, u = torch.meshgrid((middles - y) / half, (middles - x) / half, indexing="ij")
        grid = (torch.stack((u, v), -1) / REACH).expand(len(SHAPES), -1, -1, -1)
        distance = F.grid_sample(known, grid, padding_mode="border", align_corners=False)[:, 0]
        ideal = (0.5 - distance * half * side).clamp(0, 1)
        overlap = torch.minimum(ideal, target).sum((1, 2)) / torch.maximum(ideal, target).sum((1, 2))
        best = torch.maximum(best, overlap)
    return SHAPES[int(best.argmax())], float(best.max())


def _coverage(pixels: np.ndarray, ground: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How much of each pixel is `own` where the rest is `ground`, in [0, 1]."""
    line = own - ground
    return np.clip((pixels - ground) @ line / max(float(line @ line), 1.0), 0, 1)


def _spread(pixels: np.ndarray) -> np.ndarray:
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return (windows.max((-1, -2)) - windows.min((-1, -2))).max(-1)


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    for _ in range(by):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def _reaches_out(spot: np.ndarray, mask: np.ndarray) -> bool:
    """A spot at an object's rim is part of a texture, or another object that touches it."""
    return bool((_grown(spot, 3) & ~_filled(mask)).any())


def _filled(mask: np.ndarray) -> np.ndarray:
    """A mask with its holes."""
    outside = components(~np.pad(mask, 1), 1)
    return ~next(part for part in outside if part[0, 0])[1:-1, 1:-1]
