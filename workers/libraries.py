"""Make diffusers and transformers fit to be imported: quiet, and past a torchvision that does not match torch."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from typing import Any

_kept: list[Any] = []  # torch drops a library's operators with its object


def prepare_libraries() -> None:
    """To be called in every process before diffusers is imported.

    Notices of the libraries about themselves are not news to the user; their errors still come.
    """
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    for name in ("torchao", "torch.utils._pytree"):  # of kernels for other GPUs, and of each other
        logging.getLogger(name).setLevel(logging.ERROR)
    _mend_torchvision()


def hide_loading() -> None:
    """No progress bars of diffusers and transformers from here on; imports both."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.disable_progress_bar()
    of_transformers.disable_progress_bar()


def _mend_torchvision() -> None:
    """A torchvision built for another torch cannot load its operators, and whatever imports it fails with it.

    Its Python part, all that image processors use, works once the operators that it describes at import are declared.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return
    try:
        import torchvision  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
