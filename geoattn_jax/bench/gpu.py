"""What a GPU can do in eight minutes: kernels against PyTorch's, and training steps, in three precisions.

The workloads come in the order of what one would know first, in case the time does not last for all.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from geoattn_jax.bench import kernels, machine
from geoattn_jax.bench.suite import Case, Contender, Goal, Precision, Suite

Cases = Callable[[str, Precision, bool], Iterator[Case]]  # (name, precision, smoke) -> cases

METHOD = f"""\
The suite of kernels, and steps of the training loop as in the suites of pretraining and of the LSTM rounds;
the SSTN's step is a sub-batch of 8 frames in the joint training of two VGG-16 at the paper's scale.

- *float32* multiplies in full float32, *tf32* rounds the factors of products to TF32; both libraries do.
- *bfloat16*: images, kernels and activations are; positions, parameters and optimizers are float32. PyTorch
  computes under its autocast, which samples in float32.
- Contenders may differ by {kernels.TOLERANCES["float32"]:.0e}, {kernels.TOLERANCES["tf32"]:.0e} and \
{kernels.TOLERANCES["bfloat16"]:.0e} of the largest number.
- The calls of a kernel are queued and waited for together: what is measured is the GPU, not how fast Python
  hands it work. Training steps are waited for one by one.
- The share of the copy bandwidth is the time in which a plain copy would move all inputs and outputs once,
  over the time measured. S2's goal is half of it, given as a time."""


def _kernel(name: str, precision: Precision, smoke: bool) -> Iterator[Case]:
    for case in kernels.cases([name], smoke, precision):
        if name != "S2" or smoke:
            yield case
            continue
        bound = 1e3 * case.minimum_bytes / (machine.copy_bandwidth() / 2)
        half = Goal(bound, measure="milliseconds", note="half of the copy bandwidth")
        yield dataclasses.replace(case, goals=[half])


def _steps(suite: str) -> Cases:
    """Those of a suite of training steps, which are compiled when they are first called.

    The suite is imported then, too: the kernels need no training and no data, whose packages may be missing.
    """

    def cases(name: str, precision: Precision, smoke: bool) -> Iterator[Case]:
        module = importlib.import_module(f"geoattn_jax.bench.{suite}")
        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        for case in module.cases([name], smoke, dtype):
            contenders = [_multiplying_in(precision, contender) for contender in case.contenders]
            yield dataclasses.replace(case, contenders=contenders)

    return cases


def _multiplying_in(precision: Precision, contender: Contender) -> Contender:
    def multiplying(call: Callable[[], Any]) -> Callable[[], Any]:
        def within() -> Any:
            with kernels.multiplying_in(precision):
                return call()

        return within

    parts = {name: multiplying(part) for name, part in contender.parts.items()}
    return dataclasses.replace(contender, call=multiplying(contender.call), parts=parts)


KERNELS = dict.fromkeys(("D1", "D2", "S2", "S1", "S3", "R1"), _kernel)
STEPS = {"dcn": _steps("pretrain"), "sstn": _steps("sstn"), "rounds": _steps("lstm")}
CASES: dict[str, Cases] = KERNELS | STEPS
WITHOUT_PRODUCTS = ("S1", "S2", "S3", "R1")  # for which TF32 is float32
WHAT = {
    **{name: workload.what for name, workload in kernels.WORKLOADS.items()},
    "dcn": "a step of pretraining LeNet with per-channel offset layers, batch 32",
    "sstn": "a step of the SSTN's joint training, 8 frames of 1624 x 1224",
    "rounds": "300 trainings of the LSTM on the same features",
}
WORKLOADS = {
    f"{name}-{precision}": f"{WHAT[name]}; {precision}"
    for part in (KERNELS, STEPS)
    for precision in ("float32", "bfloat16", "tf32")
    for name in part
    if not (precision == "tf32" and name in WITHOUT_PRODUCTS)
}


def cases(names: Sequence[str], smoke: bool) -> Iterator[Case]:
    """The cases of the named workloads; in tiny sizes and without goals if `smoke`."""
    for workload in names:
        name, precision = workload.rsplit("-", 1)
        for case in CASES[name](name, precision, smoke):
            yield dataclasses.replace(case, mode=f"{case.mode}, {precision}")
        jax.clear_caches()


SUITE = Suite(title="Kernels and training steps", method=METHOD, workloads=WORKLOADS, cases=cases)
