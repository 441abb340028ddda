"""The demo model's training step: what is not finite changes nothing, and nothing in a step waits for the GPU."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from examples.demo_model.descent import Descent, Diverged
from examples.demo_model.draw import Painter
from examples.demo_model.flow import Student
from examples.demo_model.layout import BACKDROP_FIELDS, MAX_OBJECTS, OBJECT_FIELDS
from examples.demo_model.pipeline import LATENT_CHANNELS, LATENT_SIDE, PACKED_SIDE, PIXELS, build
from examples.demo_model.team import Team
from examples.demo_model.train_vae import loss_of
from examples.demo_model.words import MAX_TOKENS


def descent() -> Descent:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 1)
    return Descent(module, 1e-2, lambda x: module(x).square().mean())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_skipped(bad: float) -> None:
    one, other = descent(), descent()
    good, broken = torch.ones(4, 3), torch.full((4, 3), bad)
    for number, inputs in enumerate((good, broken, good)):
        one.step(number, 1.0, inputs)
    for number in range(2):
        other.step(number, 1.0, good)
    assert one.skipped.item() == 1 and one.skipped_in_a_row.item() == 0
    assert torch.equal(one.module.weight, other.module.weight)  # type: ignore[arg-type]
    assert all(value.isfinite().all() for value in one.average.values)


def test_a_loss_that_stays_nan_ends_the_run() -> None:
    doomed = descent()
    for number in range(10):
        doomed.step(number, 1.0, torch.ones(4, 3))
    with pytest.raises(Diverged, match="no finite loss or gradient in 10 steps up to step 19"):
        for number in range(10, 40):
            doomed.step(number, 1.0, torch.full((4, 3), float("nan")))


def test_a_team_of_one_is_no_team() -> None:
    team = Team("cpu")
    one, other = descent(), descent()
    other.team = team
    for trained in (one, other):
        trained.step(0, 1.0, torch.ones(4, 3))
    assert team.leads and team.share(7) == 7 and team.agree(2.5) == 2.5
    assert torch.equal(one.module.weight, other.module.weight)  # type: ignore[arg-type]


class Waits(TorchDispatchMode):
    """Collects what a CUDA graph cannot hold: reading a value, and tensors of another device than meta."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        name = str(func)
        if "_local_scalar" in name or "nonzero" in name or any(tensor.device.type != "meta" for tensor in tensors):
            self.found.append(name)
        return result


def test_no_step_waits_for_the_device_so_a_graph_can_hold_it() -> None:
    pipe = build()
    for part in (pipe.text_encoder, pipe.text_encoder_2, pipe.transformer, pipe.vae):
        part.to("meta")
    for encoder in (pipe.text_encoder, pipe.text_encoder_2):
        encoder.set_attn_implementation("eager")
    options = SimpleNamespace(compile=False)
    student = Student(SimpleNamespace(pipe=pipe, device="meta", options=options, autocast=contextlib.nullcontext))
    painter = Painter(PIXELS, "meta")
    with torch.device("meta"):
        ids, level = torch.zeros(2, MAX_TOKENS, dtype=torch.long), torch.zeros(2)
        tokens = torch.zeros(2, PACKED_SIDE**2, LATENT_CHANNELS * 4)
        objects, backdrops = torch.zeros(2, MAX_OBJECTS, OBJECT_FIELDS), torch.zeros(2, BACKDROP_FIELDS)
        noise = torch.zeros(2, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE)
    with Waits() as waits:
        F.mse_loss(student.velocity(ids, ids, tokens, level, level), tokens).backward()
        loss_of(pipe.vae, painter.draw(objects, backdrops), noise).backward()
    assert not waits.found


@pytest.mark.gpu
def test_a_graph_trains_as_eager_steps_do() -> None:
    ends = []
    for graph in (False, True):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 1)).cuda()
        trained = Descent(module, 1e-2, lambda x, module=module: module(x).square().mean(), graph)
        for number in range(40):
            x = torch.randn(4, 8, generator=torch.Generator("cuda").manual_seed(number), device="cuda")
            trained.step(number, 1 - number / 40, x * float("nan") if number in (5, 30) else x)
        assert trained.skipped.item() == 2
        ends.append(module[0].weight.detach().clone())
    torch.testing.assert_close(*ends)
