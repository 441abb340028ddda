"""OUT/README.md: a dataset card, so that `datasets.load_dataset(OUT)` finds the tables and decodes the pictures."""

from __future__ import annotations

from jobs.jobfile import JobFile
from manifests.schemas import TABLES
from manifests.storage import Location


def write_card(out: Location, job: JobFile) -> None:
    """Write the card of a job's output folder."""
    configs = "\n".join(f"- config_name: {table}\n  data_files: {table}/*.parquet" for table in TABLES)
    configs = configs.replace("config_name: images", "config_name: images\n  default: true")
    tags = "tags:\n- renderay\n- text-to-image"
    (out / "README.md").write_bytes(
        f"""---
{tags}
configs:
{configs}
---

# Pictures by {job.spec["model"]}

Rendered by renderay from {job.rows} manifest rows.

| table | one row is |
|---|---|
| `images` | a picture: `image`, `prompt`, `seed`, where and how it was made, what it cost |
| `steps` | a denoising step of a picture: `step_ms` is device time of the whole batch's step |
| `errors` | a manifest row that failed, and why |

`job.json` holds the resolved options, package versions, model and hardware.
""".encode()
    )
