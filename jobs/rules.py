"""What a model makes of a job's settings and rows, and what of that can be told before Ray is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from attention import AUTO, BACKENDS, require_usable
from jobs.cluster import local_device, require_gpu
from jobs.spec import JobSpec
from manifests.errors import SpecError
from manifests.validate import RowRules
from workers.quantize import parse_quantize, require_torchao
from workers.reference import parse_model
from workers.traits import ModelTraits, foreseen_traits


def model_rules(model: ModelTraits, given: Mapping[str, Any]) -> RowRules:
    """What a row may say to this model, in a job that sets the options `given`.

    SpecError where one of them is nothing that the model takes.
    """
    if useless := sorted(given.keys() - model.columns):
        flag = useless[0].replace("_", "-")
        raise SpecError(f"--{flag} {given[useless[0]]}: {model.pipeline} takes no such argument; leave it out")
    defaults = {name: value for name, value in asdict(model.defaults).items() if value is not None}
    return RowRules(
        **(defaults | dict(given)),
        size_multiple=model.size_multiple,
        sizes=model.sizes,
        columns=model.columns,
        parameters=model.parameters,
        min_images=model.min_images,
        max_images=model.max_images,
    )


def require_possible(spec: JobSpec) -> None:
    """Refuse, in the words of a worker, what no worker could render; on a cluster only a worker knows the machine.

    Raises SpecError, ModelError or AttentionError. What passes may still be refused by the worker that loads the model.
    """
    if traits := foreseen_traits(parse_model(spec.model)):
        model_rules(traits, spec.row_defaults)
    if spec.address:
        return
    device = local_device(spec)
    if device == "cpu":
        require_gpu(spec, 0)
    require_torchao(parse_quantize(spec.quantize))
    if spec.attention != AUTO:  # of a device that is not known yet only the backend's package can be told
        require_usable(spec.attention, device or BACKENDS[spec.attention].devices[0])
