"""The programs that are compiled: the kernels, and the steps of the training loop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from geoattn_jax.bench import kernels, lstm, pretrain, sstn
from geoattn_jax.bench.steps import SEED, compiled_update
from geoattn_jax.experiments.digits.cnns import make_cnn
from geoattn_jax.experiments.digits.pretraining import ScaledDigitsTask
from geoattn_jax.ops.separable import separable_sample
from geoattn_jax.training import Phase
from geoattn_jax.training.division import Portion
from geoattn_jax.training.labels import by_module, label_parameters
from geoattn_jax.training.phase import Params
from geoattn_jax.training.step import TrainState, initial_opt_state

FRAME_SIZE, BATCH_SIZE = 64, 32  # of paper A's frames
DTYPES = ("float32", "bfloat16")
POSITIONS = (*kernels.POSITIONS, "rows", "columns")  # always float32

Devices = Sequence[jax.Device]


@dataclass(frozen=True)
class Compilation:
    """One program.

    Attributes:
      workload: its short name, such as "D1".
      mode: which of the workload's programs, such as "forward+backward".
      dtype: of images and kernels; positions are always float32.
      devices: over how many devices its batch is split.
      lower: traces and lowers it.
    """

    workload: str
    mode: str
    dtype: str
    devices: int
    lower: Callable[[], jax.stages.Lowered]


def kernel_programs(name: str, devices: Devices) -> Iterator[Compilation]:
    """A kernel in both modes and dtypes, on one device."""
    workload = kernels.WORKLOADS[name]
    inputs = workload.inputs(np.random.default_rng(0), False)
    yield from _op_programs(name, workload.ours, {key: array.shape for key, array in inputs.items()}, devices)


def separable_programs(name: str, devices: Devices) -> Iterator[Compilation]:
    """S3, told that its windows lie along the axes of the image."""
    inputs = kernels.WORKLOADS["S3"].inputs(np.random.default_rng(0), False)
    b, height, width, _ = inputs["positions"].shape
    shapes = {"image": inputs["image"].shape, "rows": (b, height), "columns": (b, width)}
    yield from _op_programs(name, separable_sample, shapes, devices)


def _op_programs(
    name: str, function: Callable[..., jax.Array], shapes: Mapping[str, tuple[int, ...]], devices: Devices
) -> Iterator[Compilation]:
    for dtype in DTYPES:
        structs = [
            jax.ShapeDtypeStruct(shape, "float32" if key in POSITIONS else dtype)
            for key, shape in shapes.items()
        ]
        for mode, differentiated in ((kernels.FORWARD, False), (kernels.BOTH, True)):
            lower = partial(lower_op, function, structs, devices[:1], differentiated=differentiated)
            yield Compilation(name, mode, dtype, 1, lower)


def lower_op(
    function: Callable[..., jax.Array],
    shapes: Sequence[jax.ShapeDtypeStruct],
    devices: Devices,
    *,
    differentiated: bool,
    whole: Sequence[int] = (),
) -> jax.stages.Lowered:
    """Lowers a function of arrays whose first axes, the batch's, are split over the devices.

    Args:
      function: of the arrays, to one.
      shapes: of the arrays.
      devices: which it is lowered for.
      differentiated: whether to give the gradients of all float arrays, too, for one of the output.
      whole: which of the arrays every device has whole.
    """
    mesh = Mesh(np.asarray(devices), ("batch",))
    split, copied = NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())
    shardings = [copied if place in whole else split for place in range(len(shapes))]

    if not differentiated:
        return jax.jit(function, in_shardings=shardings, out_shardings=split).lower(*shapes)

    floats = [place for place, shape in enumerate(shapes) if jnp.issubdtype(shape.dtype, jnp.floating)]

    def both(output_gradient: jax.Array, *arrays: jax.Array) -> tuple:
        output, pullback = jax.vjp(function, *arrays)
        gradients = pullback(output_gradient)
        return output, *(gradients[place] for place in floats)

    output = jax.eval_shape(function, *shapes)
    return jax.jit(
        both,
        in_shardings=[split, *shardings],
        out_shardings=(split, *(shardings[place] for place in floats)),
    ).lower(jax.ShapeDtypeStruct(output.shape, output.dtype), *shapes)


def network_programs(name: str, devices: Devices) -> Iterator[Compilation]:
    """A step of pretraining one of paper A's networks, on one device and split over all."""
    pools = pretrain.bundled_pools(FRAME_SIZE)
    task = ScaledDigitsTask(make_cnn(name, frame_size=FRAME_SIZE), pools, FRAME_SIZE, SEED)
    phase = task.phase(name, steps=1, batch_size=BATCH_SIZE, learning_rate=1.0, evaluate_every=1)
    for used in [devices[:1], devices] if len(devices) > 1 else [devices]:
        lower = partial(lower_step, phase, task.initial_params, used)
        yield Compilation(name, "training step", "float32", len(used), lower)


def rounds_programs(name: str, devices: Devices) -> Iterator[Compilation]:
    """A step of all rounds of the LSTM."""
    trainings = lstm.Trainings.draw(lstm.PAPER)
    lower = partial(lower_step, trainings.phase, lambda: trainings.params, devices[:1])
    yield Compilation(name, "training step", "float32", 1, lower)


def sstn_programs(name: str, devices: Devices) -> Iterator[Compilation]:
    """A sub-batch of the joint phase, at the detail level; as it is, and saving what memory can be saved."""
    for mode, computation in (
        ("training step", {"dtype": "float32", "remat": False}),
        ("training step, rematerialized", {"dtype": "bfloat16", "remat": True}),
    ):
        task, phase = sstn.joint_phase(computation)
        lower = partial(lower_step, phase, lambda task=task: task.initial(SEED)["params"], devices[:1])
        yield Compilation(name, mode, computation["dtype"], 1, lower)


def lower_step(phase: Phase, initial_params: Callable[[], Params], devices: Devices) -> jax.stages.Lowered:
    """Lowers the training loop's own step; where a phase has sub-batches, that of one of them."""
    params = jax.eval_shape(initial_params)
    labels = label_parameters(params, by_module)
    state = TrainState(
        jax.ShapeDtypeStruct((), jnp.int32),
        params,
        {},
        jax.eval_shape(partial(initial_opt_state, phase, labels), params),
    )
    update = compiled_update(phase, labels, devices)
    rows = np.arange(phase.batch_size // phase.sub_batches)
    portion = Portion(jax.eval_shape(lambda: phase.batch(SEED, 0, rows)), None)
    if phase.sub_batches == 1:
        return update.step.lower(state, portion)
    sums = jax.eval_shape(update.empty, state, portion)
    return update.add.lower(state, sums, portion, jax.ShapeDtypeStruct((), jnp.int32))


@dataclass(frozen=True)
class Workload:
    """What stands behind a short name: words for it, and its programs on some devices."""

    what: str
    programs: Callable[[str, Devices], Iterator[Compilation]]


WORKLOADS: Mapping[str, Workload] = {
    **{name: Workload(workload.what, kernel_programs) for name, workload in kernels.WORKLOADS.items()},
    "S3-axes": Workload(
        "`ops.separable.separable_sample` of the same windows: what `SpatialTransformer` does where theta "
        "neither rotates nor shears",
        separable_programs,
    ),
    **{
        name: Workload(f"pretraining of {what}, batch {BATCH_SIZE}", network_programs)
        for name, what in {**pretrain.WORKLOADS, "deform": "LeNet with deformable convolutions"}.items()
    },
    "rounds": Workload(lstm.WORKLOADS["rounds"], rounds_programs),
    "sstn": Workload(
        f"joint training of the SSTN of two VGG-16 on 896x896 crops, batch {sstn.BATCH} by sub-batches of "
        f"{sstn.SUB_BATCH}, of which this is one",
        sstn_programs,
    ),
}
