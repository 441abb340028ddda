"""Quantised weights: nearly the same picture, said to be inexact, another fingerprint."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import renderay
from manifests.errors import SpecError
from workers.model import load_model
from workers.pipelines import LoadOptions
from workers.quantize import parse_quantize


def test_methods_by_component() -> None:
    assert parse_quantize(["int8"]) == {"transformer": "int8", "transformer_2": "int8", "unet": "int8"}
    assert parse_quantize(["text_encoder=float8", "transformer=int8"]) == {
        "text_encoder": "float8",
        "transformer": "int8",
    }
    for text in ("int4", "=int8", "transformer", "transformer="):
        with pytest.raises(SpecError, match="COMPONENT=METHOD"):
            parse_quantize([text])


def test_a_component_that_the_model_lacks_is_an_error() -> None:
    with pytest.raises(renderay.RenderayError, match=r"quantize text_encoder_3=int8: .* has no text_encoder_3"):
        load_model("tiny:flux.1-dev", "cpu", "float32", LoadOptions(quantize=("text_encoder_3=int8",)))


def pixels(results: renderay.Results) -> np.ndarray:
    [row] = results.images.arrow(["image"]).to_pylist()
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])), dtype=int)


@pytest.mark.parametrize("method", ["int8", "float8"])
def test_quantised_pictures_are_near_and_called_inexact(tmp_path: Path, method: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "a", "prompt": "a red cube", "seed": 1}) + "\n")
    options = {"model": "tiny:flux.1-dev", "steps": 2, "workers": 1}
    renderay.render(tmp_path / "rows.jsonl", out=str(tmp_path / "exact"), **options)
    renderay.render(tmp_path / "rows.jsonl", out=str(tmp_path / "quantised"), quantize=(method,), **options)
    exact, quantised = renderay.open(tmp_path / "exact"), renderay.open(tmp_path / "quantised")
    rows = [results.images.arrow(["exact", "fingerprint", "sha256"]).to_pylist()[0] for results in (exact, quantised)]
    assert [row["exact"] for row in rows] == [True, False]
    assert rows[0]["fingerprint"] != rows[1]["fingerprint"] and rows[0]["sha256"] != rows[1]["sha256"]
    one, other = (pixels(results) for results in (exact, quantised))
    assert np.abs(one - other).mean() < 12
