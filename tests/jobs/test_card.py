"""The dataset card: it says what every column means, and the hub's own reader takes it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from jobs.card import write_card
from jobs.commits import lease_record
from jobs.glossary import COLUMNS
from jobs.jobfile import describe_model, new_job_file
from jobs.ledger import Ledger
from jobs.spec import make_spec
from manifests.schemas import TABLES, table_schema
from manifests.storage import locate
from manifests.survey import Survey
from tests.jobs.facts import DECISIONS, worker_facts
from workers.settings import LeaseResult


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_described_and_no_other(table: str) -> None:
    assert set(COLUMNS[table]) == set(table_schema(table, {}).names)


def write(
    folder: Path,
    *,
    done: int = 5,
    failed: int = 1,
    model: str = "tiny:flux.1-dev",
    lora: tuple[str, ...] = (),
    **facts: Any,
) -> DatasetCard:
    spec = make_spec(manifest=("m.jsonl",), model=model, lora=lora, out=str(folder), steps=7)
    file = new_job_file(spec, [], Survey(6, {"Category": "string", "a|b": "int64"}), datetime.now(UTC))
    file.model = describe_model(worker_facts(**facts))
    file.decisions["NVIDIA H200"] = DECISIONS
    result = LeaseResult("l", "w", tuple(range(done)), tuple(range(done, done + failed)), 2 * done, 1.0, ())
    write_card(locate(folder), file, Ledger([lease_record(result, datetime.now(UTC))]), 6)
    return DatasetCard.load(folder / "README.md")


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    card = write(tmp_path)
    assert card.data.license == "unknown" and card.data.size_categories == ["n<1K"]
    assert [config["config_name"] for config in card.data.configs] == list(TABLES)
    assert card.data.configs[0]["default"] is True


def test_the_card_says_what_ran(tmp_path: Path) -> None:
    text = write(tmp_path).text
    assert "10 pictures of 5 manifest rows; rows that failed: 1.\n" in text
    assert "| steps | 7 where a row says nothing else |" in text
    assert "| NVIDIA H200 | attention sdpa, batch size 2, not compiled |" in text
    assert "torch 2.13, diffusers 0.42" in text
    assert "| `Category` | string | of the manifest |" in text and "| `a\\|b` | int64 |" in text
    assert "still to be rendered when this was written: 1.\n" in write(tmp_path, done=4).text


def test_the_demo_models_licence_is_the_repositorys_and_no_other_models_is_known(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours", model="demo")
    assert ours.data.license == "apache-2.0" and "None is stated" not in ours.text
    assert "## Licence\n\nApache-2.0, which is the licence of the model" in ours.text
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'license = "{ours.data.license}"' in project.lower()
    for name, others in (("hub", {"model": "demo/demo"}), ("lora", {"model": "demo", "lora": ("x/y",)})):
        card = write(tmp_path / name, **others)
        assert card.data.license == "unknown" and "## Licence\n\nNone is stated." in card.text
