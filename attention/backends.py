"""The catalogue: every attention backend renderay knows by name, and what each needs.

Our own names are those of the table's first part. The rest carry the name that diffusers' dispatcher gives them, and
need what it needs. A backend is exact when it computes softmax attention up to rounding; one that quantises is not.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"
HALF = ("bfloat16", "float16")
ANY = (*HALF, "float32")
DEVICES = {"cpu": "CPUs", "cuda": "CUDA GPUs", "rocm": "AMD GPUs", "npu": "Ascend NPUs", "xla": "XLA devices"}


@dataclass(frozen=True)
class Backend:
    """One way to compute attention: its names, what it needs, what it can.

    `dispatch` is diffusers' name for it, None where diffusers has none. `devices` are torch device types, and rocm.
    `package` is the distribution that brings `module`, `at_least` its lowest version, `install` the line that installs
    it. `capability` is the lowest compute capability of a GPU, and the first too high, if any. Head sizes go up to
    `max_head` in multiples of `head_multiple`.

    `masks`: takes attention masks, rightly. `traced`: torch.compile sees into it; the others compile as one operator.
    `hub`: its kernel is downloaded from the Hugging Face hub at first use. `contends`: `auto` may choose it.
    """

    name: str
    dispatch: str | None
    devices: tuple[str, ...] = ("cuda",)
    package: str | None = None
    module: str | None = None
    at_least: str | None = None
    install: str | None = None
    capability: tuple[tuple[int, int], ...] = ()
    dtypes: tuple[str, ...] = HALF
    max_head: int | None = None
    head_multiple: int = 1
    masks: bool = False
    traced: bool = False
    exact: bool = True
    hub: bool = False
    contends: bool = False


_AMPERE = ((8, 0),)
_VOLTA = ((7, 0),)
_HOPPER_LAST = ((8, 0), (10, 0))


def _torch(name: str, dispatch: str, **values: object) -> Backend:
    return Backend(name, dispatch, **({"traced": True, "contends": True} | values))  # type: ignore[arg-type]


def _flash2(name: str, dispatch: str, contends: bool = False) -> Backend:
    return Backend(
        name, dispatch, package="flash-attn", module="flash_attn.flash_attn_interface", at_least="2.7",
        install="pip install --no-build-isolation 'renderay[flash]'", capability=_AMPERE, max_head=256,
        contends=contends,
    )  # fmt: skip


def _flash3(name: str, dispatch: str, contends: bool = False) -> Backend:
    return Backend(
        name, dispatch, package="flash_attn_3", module="flash_attn_interface", at_least="3.0.0b1",
        install="pip install --no-build-isolation 'git+https://github.com/Dao-AILab/flash-attention#subdirectory=hopper'",
        capability=_HOPPER_LAST, max_head=256, contends=contends,
    )  # fmt: skip


def _sage(name: str, dispatch: str, *capability: tuple[int, int]) -> Backend:
    return Backend(
        name, dispatch, package="sageattention", module="sageattention", at_least="2.1.1",
        install="pip install --no-build-isolation 'git+https://github.com/thu-ml/SageAttention'",
        capability=capability or _AMPERE, max_head=128, exact=False,
    )  # fmt: skip


def _hub(
    name: str, capability: tuple[tuple[int, int], ...] = _AMPERE, max_head: int = 256,
    exact: bool = True, at_least: str = "0.12", devices: tuple[str, ...] = ("cuda",),
) -> Backend:  # fmt: skip
    return Backend(
        name, name, devices, package="kernels", module="kernels", at_least=at_least,
        install=f"pip install 'kernels>={at_least}'", capability=capability, max_head=max_head, exact=exact,
        hub=True,
    )  # fmt: skip


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        # torch's own
        _torch("sdpa", "native", devices=("cpu", "cuda"), dtypes=ANY, masks=True),
        _torch("sdpa-flash", "_native_flash", devices=("cpu", "cuda"), dtypes=ANY, capability=_AMPERE, max_head=256),
        _torch("sdpa-cudnn", "_native_cudnn", capability=_AMPERE, max_head=256, head_multiple=8, masks=True),
        _torch("sdpa-efficient", "_native_efficient", dtypes=ANY, masks=True),
        # one operator, lest the compiler turn it into another kernel
        _torch(
            "sdpa-math", "_native_math", devices=("cpu", "cuda"), dtypes=ANY, masks=True, traced=False, contends=False,
        ),
        # the flash-attn family
        _flash2("flash", "flash", contends=True),
        _flash3("flash3", "_flash_3", contends=True),
        Backend(
            "flash4", None, package="flash-attn-4", module="flash_attn.cute.interface", at_least="4.0.0b1",
            install="pip install 'renderay[flash4]'", capability=_AMPERE, max_head=256, head_multiple=8, contends=True,
        ),
        # what else diffusers dispatches, under the name it has there
        Backend("flex", "flex", dtypes=ANY, capability=_VOLTA),
        Backend(
            "xformers", "xformers", package="xformers", module="xformers", at_least="0.0.29",
            install="pip install --no-deps xformers", dtypes=ANY, capability=_VOLTA, contends=True,
        ),
        _flash2("flash_varlen", "flash_varlen"),
        _flash3("_flash_varlen_3", "_flash_varlen_3"),
        _sage("sage", "sage"),
        _sage("sage_varlen", "sage_varlen"),
        _sage("_sage_qk_int8_pv_fp8_cuda", "_sage_qk_int8_pv_fp8_cuda", (8, 9)),
        _sage("_sage_qk_int8_pv_fp8_cuda_sm90", "_sage_qk_int8_pv_fp8_cuda_sm90", (9, 0), (9, 1)),
        _sage("_sage_qk_int8_pv_fp16_cuda", "_sage_qk_int8_pv_fp16_cuda"),
        _sage("_sage_qk_int8_pv_fp16_triton", "_sage_qk_int8_pv_fp16_triton"),
        _hub("flash_hub"),
        _hub("flash_varlen_hub"),
        _hub("_flash_3_hub", _HOPPER_LAST),
        _hub("_flash_3_varlen_hub", _HOPPER_LAST),
        _hub("flash_4_hub", at_least="0.12.3"),
        _hub("sage_hub", max_head=128, exact=False),
        _hub("sage_blackwell_hub", ((10, 0),), max_head=128, exact=False),
        _hub("aiter_fa2_hub", devices=("rocm",)),
        Backend("_native_npu", "_native_npu", ("npu",), package="torch-npu", module="torch_npu"),
        Backend("_native_xla", "_native_xla", ("xla",), package="torch-xla", module="torch_xla", at_least="2.2"),
    )
}  # fmt: skip
