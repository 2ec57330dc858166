"""One step of pretraining each of paper A's CNNs, against the same network in PyTorch."""

import dataclasses
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
import optax
from flax import traverse_util

from geoattn_jax.bench import torch_rivals
from geoattn_jax.bench.steps import SEED, training_step
from geoattn_jax.bench.suite import Case, Contender, Goal, Suite
from geoattn_jax.data.digits import digit_pool, load_digits
from geoattn_jax.data.scaled_digits import ScaledDigits
from geoattn_jax.experiments.digits.cnns import make_cnn
from geoattn_jax.experiments.digits.loaded_digits import LoadedDigits
from geoattn_jax.experiments.digits.pretraining import ScaledDigitsTask
from geoattn_jax.layers import offset_labels
from geoattn_jax.training import Phase
from geoattn_jax.training.phase import Params
from geoattn_jax.training.step import TrainState

METHOD = """\
A step is the forward and backward pass of the cross-entropy and Adadelta's update, on 32 digits of 64x64
pixels, stretched and shifted (drawing them is not timed). Every call takes the next step on the same images.

- `geoattn_jax` is the step of the training loop, `geoattn_jax.experiments.digits.pretraining`.
- *torch* is the same network in eager PyTorch; the DCN's layers resample by `grid_sample`, each channel as an
  image of its own. Of one thread and all, contiguous and channels-last, the fastest is timed: its name says
  which.
- Loss and mean squared gradients after the first step must agree. The DCN's offset kernels start 100 times as
  large as in training: nearer to an integer the libraries' rounding falls on different sides of it, where
  gradients jump.
- Two parts of a step are also timed by themselves: *gradients*, forward and backward, and *optimizer*, the
  update from the gradients found last. *The rest* is what is left of the step: for `geoattn_jax`, whose step
  is one program, also what it saves by being one."""

WORKLOADS = {
    "lenet": "LeNet, 6,431,080 parameters",
    "stn": "LeNet behind a spatial transformer, 25,741,976 parameters",
    "dcn": "LeNet with per-channel offset layers, 102,483,280 parameters",
}
# On a CPU: of torch's time.
GOALS = {"lenet": 1.2, "stn": 1.0, "dcn": 1.1}


def cases(names: Sequence[str], smoke: bool, dtype: str = "float32") -> Iterator[Case]:
    """The cases of the named CNNs; on fewer, smaller images and without goals if `smoke`."""
    on_cpu = jax.default_backend() == "cpu"
    frame_size, batch_size = (32, 3) if smoke else (64, 32)
    pools = bundled_pools(frame_size)
    for name in names:
        task = ScaledDigitsTask(make_cnn(name, frame_size=frame_size, dtype=dtype), pools, frame_size, SEED)
        phase = task.phase(name, steps=1, batch_size=batch_size, learning_rate=1.0, evaluate_every=1)
        batch, params = phase.whole_batch(SEED, 0), _with_larger_offsets(task.initial_params())
        contenders = [this_package(phase, batch, params)]
        if on_cpu and dtype == "float32" and torch_rivals.available("torch"):
            contenders.append(fastest_torch(name, batch, pools.mean, params["cnn"]))
        goals = [Goal(GOALS[name], "torch")] if on_cpu and not smoke else []
        yield Case(name, "training step", contenders, goals)


def bundled_pools(frame_size: int) -> LoadedDigits:
    """scikit-learn's digits to train on. No training goes on later, so that they need no record."""
    digits = load_digits("sklearn", "train")
    return LoadedDigits({"train": digit_pool(digits, frame_size=frame_size)}, digits.mean, record={})


def _with_larger_offsets(params: Params) -> Params:
    larger = {"offset": 100.0, "rest": 1.0}
    return jax.tree.map(lambda leaf, label: leaf * larger[label], params, offset_labels(params))


def this_package(phase: Phase, batch: ScaledDigits, params: Params) -> Contender:
    """The loop's step."""

    def arrays(result: tuple[TrainState, Any]) -> dict[str, np.ndarray]:
        state, metrics = result
        squares = optax.tree_utils.tree_get(state.opt_state, "e_g")["cnn"]
        return {"loss": np.asarray(metrics["loss"])} | {
            path: np.asarray(array) for path, array in traverse_util.flatten_dict(squares, sep="/").items()
        }

    return dataclasses.replace(training_step(phase, batch, params), arrays=arrays)


def fastest_torch(name: str, batch: ScaledDigits, mean: float, params: Params) -> Contender:
    """The fastest way to run the network in PyTorch; of the ways tried one at a time is in memory."""
    ways = itertools.product(sorted({1, len(os.sched_getaffinity(0))}), ("contiguous", "channels_last"))
    seconds = {way: _third_call(in_torch(name, batch, mean, params, *way)) for way in ways}
    return in_torch(name, batch, mean, params, *min(seconds, key=seconds.get))


def _third_call(contender: Contender) -> float:
    for _ in range(3):
        start = time.perf_counter()
        contender.call()
    return time.perf_counter() - start


def in_torch(
    name: str, batch: ScaledDigits, mean: float, params: Params, threads: int, memory_format: str
) -> Contender:
    """The same step in PyTorch."""
    import torch

    from geoattn_jax.bench import torch_networks

    layout = getattr(torch, "contiguous_format" if memory_format == "contiguous" else memory_format)
    frame_size = batch.frames.shape[1]
    model = torch_networks.CNNS[name](frame_size)
    torch_networks.load(model, params)
    model.to(memory_format=layout)
    images = torch.from_numpy(torch_rivals.NCHW.values(np.asarray(batch.frames - mean)).copy())
    images = images.to(memory_format=layout)
    labels = torch.from_numpy(np.array(batch.labels)).long()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.95, eps=1e-8)

    def gradients() -> torch.Tensor:
        torch.set_num_threads(threads)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    def update() -> None:
        torch.set_num_threads(threads)
        optimizer.step()

    def call() -> torch.Tensor:
        loss = gradients()
        update()
        return loss

    def arrays(loss: torch.Tensor) -> dict[str, np.ndarray]:
        squares = {
            path: layout.gradient(optimizer.state[parameter]["square_avg"].numpy())
            for path, parameter, layout in torch_networks.parameters(model)
        }
        return {"loss": loss.detach().numpy()} | squares

    described = f"torch, {threads} thread{'s' if threads > 1 else ''}, {memory_format.replace('_', ' ')}"
    return Contender(described, "step", call, arrays, parts={"gradients": gradients, "optimizer": update})


SUITE = Suite(title="Pretraining", method=METHOD, workloads=WORKLOADS, cases=cases)
