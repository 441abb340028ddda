"""The gallery: sampled pictures with prompt, seed and timing, and the columns they can be filtered by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.results.quantities import milliseconds
from jobs.results.report.database import Connection, rows
from jobs.results.report.sample import Key
from manifests.schemas import extra_names

_CHOICES = 40  # a column of more values is filtered by typing
_TEXT = 600  # characters of a value on the page

Record = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """One card: what it shows, the value of each column, and all that is told when it is opened."""

    key: Key
    prompt: str
    seed: int | None
    ms: float
    tags: tuple[str, ...]
    thumbnail: str | None
    values: dict[str, str]
    facts: list[tuple[str, str]]
    text: str  # what is searched besides the prompt: the id and the manifest's own columns

    @property
    def anchor(self) -> str:
        """Its fragment on the page."""
        return f"p{self.key[0]}-{self.key[1]}"


@dataclass(frozen=True)
class Column:
    """A column to filter by: its values with their counts, or none where there are too many to choose from."""

    name: str
    own: bool  # of the manifest, not of renderay
    choices: list[tuple[str, int]]


def pictures(
    connection: Connection, read: Iterable[tuple[Record, str | None]], extra: Mapping[str, str]
) -> list[Picture]:
    """Make the cards of images rows and their thumbnails, in manifest order."""
    found = {(record["ordinal"], record["image_index"]): (record, small) for record, small in read}
    if not found:
        return []
    places = ", ".join(f"({ordinal}, {index})" for ordinal, index in found)
    timed = rows(connection, f"select * from pictures where (ordinal, image_index) in ({places})")
    names = [name for column, name in extra_names(extra).items() if extra[column] != "binary"]
    cards = [_picture(*found[row["ordinal"], row["image_index"]], row, names) for row in timed]
    return sorted(cards, key=lambda card: card.key)


def columns(cards: Sequence[Picture], extra: Mapping[str, str]) -> list[Column]:
    """The manifest's columns, then those of ours in which the cards differ."""
    own = [name for column, name in extra_names(extra).items() if extra[column] != "binary"]
    names = list(dict.fromkeys(name for card in cards for name in card.values))
    result = []
    for name in names:
        counts = Counter(card.values[name] for card in cards)
        if name in own or len(counts) > 1:
            choices = sorted(counts.items(), key=lambda item: _natural(item[0]))
            result.append(Column(name, name in own, choices if len(counts) <= _CHOICES else []))
    return result


def _natural(value: str) -> tuple[float, str]:
    try:
        return float(value.partition(" ")[0]), value
    except ValueError:
        return float("inf"), value


def _picture(record: Record, thumbnail: str | None, row: Record, names: Sequence[str]) -> Picture:
    values = {name: _text(record[name]) for name in names}
    ours = {
        "size": f"{row['width']} × {row['height']}",
        "steps": str(row["steps"]),
        "attention_backend": _text(row["attention_backend"]),
        "worker": row["worker_id"].rsplit("-", 1)[-1],
    }
    references = record.get("reference_images") or []
    tags = [("warm-up", row["warmup"]), ("retried", row["attempt"] > 1)]
    facts = [
        ("id", record["id"]),
        ("picture", f"{row['image_index']}, manifest row {row['ordinal']}"),
        ("seed", str(record["seed"])),
        *((name, _text(record[name])) for name in names),
        ("negative prompt", _text(record["negative_prompt"])),
        ("size", ours["size"]),
        ("steps", ours["steps"]),
        ("guidance scale", _text(record["guidance_scale"])),
        ("true CFG scale", _text(record["true_cfg_scale"])),
        ("params", _text(record["params"])),
        *(("reference image", _text(reference["uri"])) for reference in references),
        ("picture's share", milliseconds(row["picture_ms"])),
        ("text, prepare", f"{milliseconds(row['text_ms'])}, {milliseconds(row['prepare_ms'])}"),
        ("denoise, decode", f"{milliseconds(row['denoise_ms'])}, {milliseconds(row['decode_ms'])}"),
        ("batch", row["batch_id"]),
        ("batch size", str(row["batch_size"])),
        ("attention", ours["attention_backend"]),
        ("worker", f"{row['worker_id']} on {row['node']}"),
        ("file", f"images/{row['lease_id']}.parquet"),
    ]
    return Picture(
        key=(row["ordinal"], row["image_index"]),
        prompt=_text(record["prompt"]),
        seed=record["seed"],
        ms=row["picture_ms"],
        tags=tuple(tag for tag, holds in tags if holds),
        thumbnail=thumbnail,
        values=values | {name: value for name, value in ours.items() if name not in values},
        facts=[(name, value) for name, value in facts if value.strip()],
        text="\n".join([record["id"], *(values[name] for name in names)]),
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _TEXT else text[:_TEXT] + "…"
