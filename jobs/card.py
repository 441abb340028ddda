"""OUT/README.md: a dataset card, so that `datasets.load_dataset(OUT)` finds the tables and decodes the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from jobs.glossary import COLUMNS
from jobs.jobfile import JobFile
from jobs.ledger import Ledger
from manifests.schemas import TABLES, extra_names, table_schema
from manifests.storage import Location
from workers import demo

_ROW = {"images": "a picture", "steps": "a denoising step of a picture", "errors": "a manifest row that failed"}
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))

_TEXT = """\
# Pictures by {model}

Rendered by renderay: {pictures} pictures of {done} manifest rows; rows that failed: {failed}{left}.

## Read it

```python
from datasets import load_dataset

folder = "."  # this folder, or the dataset's name on the hub
pictures = load_dataset(folder, "images", split="train")
pictures[0]["image"].show()
steps = load_dataset(folder, "steps", split="train")
```

The tables are plain Parquet; any reader takes a glob, here DuckDB:

```sql
select id, prompt, denoise_ms / batch_size as ms from 'images/*.parquet' where not warmup order by ms desc limit 10;
```

## How it was made

{figures}

`job.json` holds every option, the manifest's digest, and what was decided by measurement.

## Licence

{licence}

## Columns

{columns}
"""

_LICENCE_UNKNOWN = """\
None is stated. The model's licence may bind what is done with its pictures, and the prompts may have one of their own:
look both up and set `license` at the top of this file before publishing."""
_LICENCE_DEMO = """\
Apache-2.0, which is the licence of the model: it ships inside renderay and was trained on nothing but what renderay's
own code drew. The prompts may have a licence of their own: look it up and mend `license` at the top of this file before
publishing."""


def write_card(out: Location, job: JobFile, ledger: Ledger, rows: int) -> None:
    """Write the card of a job's output folder; `rows` is how many manifest rows the job takes."""
    pictures, done, failed = ledger.pictures, ledger.done.count_below(rows), ledger.failed.count_below(rows)
    left, licence = rows - done - failed, _licence(job)
    text = _TEXT.format(
        model=job.spec["model"],
        pictures=pictures,
        done=done,
        failed=failed,
        left=f"; still to be rendered when this was written: {left}" if left else "",
        licence=_LICENCE_DEMO if licence else _LICENCE_UNKNOWN,
        figures=_table(("", ""), _figures(job)),
        columns="\n\n".join(_columns(table, job.extra) for table in TABLES),
    )
    (out / "README.md").write_bytes(f"---\n{_front_matter(pictures, licence)}---\n\n{text}".encode())


def _licence(job: JobFile) -> str | None:
    """The licence of the model, by the hub's name for it; None where it is not ours, in part or whole."""
    ours = job.spec["model"] == demo.NAME and not job.spec["lora"]
    return demo.LICENCE if ours else None


def _front_matter(pictures: int, licence: str | None) -> str:
    configs = [
        {"config_name": table, "data_files": f"{table}/*.parquet"} | ({"default": True} if table == "images" else {})
        for table in TABLES
    ]
    size = next((name for name, limit in _SIZES if pictures < limit), "n>10M")
    card = {
        "license": licence or "unknown",
        "task_categories": ["text-to-image"],
        "tags": ["renderay", "synthetic"],
        "size_categories": [size],
        "configs": configs,
    }
    return str(yaml.safe_dump(card, sort_keys=False))


def _figures(job: JobFile) -> list[tuple[str, str]]:
    """What ran, as far as job.json knows."""
    spec, model = job.spec, job.model
    defaults = model.get("defaults", {})

    def of(name: str) -> str:
        value = spec[name] if spec[name] is not None else defaults.get(name)
        return "the pipeline's own" if value is None else f"{value}"

    found = [
        ("model", " ".join(filter(None, [spec["model"], model.get("revision"), *spec["lora"]]))),
        ("pipeline", f"{model.get('pipeline')}, {model.get('dtype')}, weights {model.get('fingerprint')}"),
        ("steps", f"{of('steps')} where a row says nothing else"),
        ("width x height", f"{of('width')} x {of('height')} where a row says nothing else"),
        ("guidance, true CFG", f"{of('guidance_scale')}, {of('true_cfg_scale')} where a row says nothing else"),
        ("seed", f"{spec['seed']}, the job's, from which rows without one drew theirs"),
    ]
    for kind, chosen in job.decisions.items():
        how = f"attention {chosen.attention}, batch size {chosen.batch_size}"
        found.append((kind, f"{how}, {'compiled' if chosen.compile else 'not compiled'}"))
    found.append(("packages", ", ".join(f"{name} {number}" for name, number in model.get("versions", {}).items())))
    return found


def _columns(table: str, extra: dict[str, str]) -> str:
    own = dict.fromkeys(extra_names(extra).values(), "of the manifest")
    said = COLUMNS[table] | own
    rows = [(f"`{field.name}`", f"{field.type}", said[field.name]) for field in table_schema(table, extra)]
    return f"### {table}: one row is {_ROW[table]}\n\n" + _table(("column", "type", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
