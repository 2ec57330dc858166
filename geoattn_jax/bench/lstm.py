"""Paper A's 300 trainings of a small LSTM as one program, against one training after another in PyTorch."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.bench import torch_rivals
from geoattn_jax.bench.steps import SEED, compiled_update
from geoattn_jax.bench.suite import OURS, Case, Contender, Goal, Suite
from geoattn_jax.experiments.digits.lstm_rounds import Sequences, initial_rounds, rounds_phase, score_rounds
from geoattn_jax.models.lenet import LeNet
from geoattn_jax.models.video_classifier import VideoClassifier
from geoattn_jax.training import Phase
from geoattn_jax.training.division import Portion
from geoattn_jax.training.labels import by_module, label_parameters
from geoattn_jax.training.phase import Params
from geoattn_jax.training.step import TrainState, initial_opt_state

LEARNING_RATE = 1e-3

METHOD = """\
Shan & Atanasov 2017, second stage: 100 sequences of 50 frames of 500 features (random here, rectified), an
LSTM of 8 units, a dense layer from its 400 outputs to 100 classes; 20 updates by RMSProp on half of the
sequences each, in an order of each training's own.

- `geoattn_jax` trains all 300 in one program, `geoattn_jax.experiments.digits.lstm_rounds`, with the loop's
  own step. On a CPU each training's projection is of the sequences that an update looks at, and the backward
  pass is written out, `lstm_on_cpu`; elsewhere one product projects all sequences for all trainings.
- *torch* trains `torch.nn.LSTM` and `Linear` from the same initial parameters in the same orders, one
  training after another: ten of them, times 30.
- Both times are without drawing the initial parameters. The contenders' losses after training must agree."""


@dataclass(frozen=True)
class Sizes:
    """How many and how large; `sample` of the rounds are trained by the rival."""

    rounds: int
    sample: int
    videos: int
    frames: int
    features: int
    units: int
    batch_size: int
    epochs: int


PAPER = Sizes(rounds=300, sample=10, videos=100, frames=50, features=500, units=8, batch_size=50, epochs=10)
TINY = Sizes(rounds=5, sample=3, videos=8, frames=6, features=7, units=2, batch_size=4, epochs=2)

_SHARES = (
    "by the CPU time of its parts, each timed alone, more than half of an update is the products that "
    "project the features, which do not reach the speed of one large product; then come the recurrence "
    "with its gradients, and copying the features that each training looks at"
)
CAUSES = {("rounds", "training"): _SHARES}

WORKLOADS = {"rounds": "300 trainings of the LSTM on the same features, Table 1's number for every cell"}


@dataclass(frozen=True)
class Trainings:
    """What all contenders do: the rounds of `phase` from `params` on `sequences`."""

    sizes: Sizes
    head: VideoClassifier
    sequences: Sequences
    params: Params
    phase: Phase

    @classmethod
    def draw(cls, sizes: Sizes, dtype: str = "float32") -> "Trainings":
        """Random features; every sequence is of a class of its own, as in the paper."""
        shape = (sizes.videos, sizes.frames, sizes.features)
        features = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        sequences = Sequences(jnp.maximum(features, 0), jnp.arange(sizes.videos))
        head = VideoClassifier(LeNet(), num_classes=sizes.videos, lstm_units=sizes.units, dtype=dtype)
        phase = rounds_phase(
            "rounds",
            head,
            sequences,
            rounds=sizes.rounds,
            epochs=sizes.epochs,
            batch_size=sizes.batch_size,
            learning_rate=LEARNING_RATE,
        )
        params = initial_rounds(head, sequences, seed=SEED, rounds=sizes.rounds)
        return cls(sizes, head, sequences, params, phase)

    def one(self, number: int) -> Params:
        """The initial parameters of one round."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[number]), self.params)


def cases(names: Sequence[str], smoke: bool, dtype: str = "float32") -> Iterator[Case]:
    """The one case; in tiny sizes and without goals if `smoke`."""
    for name in names:
        trainings = Trainings.draw(TINY if smoke else PAPER, dtype)
        contenders = [all_at_once(trainings)]
        if dtype == "float32":
            contenders += one_after_another(trainings)
        on_cpu = jax.default_backend() == "cpu"
        goals = [Goal(0.4, "torch")] if on_cpu and not smoke else []
        # RMSProp's first update is nearly the gradient's sign, which rounding may turn where it is tiny.
        yield Case(name, "training", contenders, goals, tolerance=1e-3)


def all_at_once(trainings: Trainings) -> Contender:
    """This package's."""
    phase, labels = trainings.phase, label_parameters(trainings.params, by_module)
    update = compiled_update(phase, labels, jax.devices()[:1])

    def call() -> Params:
        params = jax.tree.map(jnp.copy, trainings.params)
        opt_state = initial_opt_state(phase, labels, params)
        state = TrainState(jnp.zeros((), jnp.int32), params, {}, opt_state)
        for number in range(phase.steps):
            state, _ = update.step(state, Portion(phase.whole_batch(SEED, number), None))
        return jax.block_until_ready(state.params)

    def arrays(params: Params) -> dict[str, np.ndarray]:
        sample = jax.tree.map(lambda leaf: leaf[: trainings.sizes.sample], params)
        return {"losses": np.asarray(score_rounds(trainings.head, sample, trainings.sequences).loss)}

    return Contender(OURS, "trainings", call, arrays)


def one_after_another(trainings: Trainings) -> list[Contender]:
    """PyTorch's, on one core and on all; none where it is missing or JAX has an accelerator."""
    if jax.default_backend() != "cpu" or not torch_rivals.available("torch"):
        return []
    return [_in_torch(trainings, threads) for threads in sorted({1, len(os.sched_getaffinity(0))})]


def _in_torch(trainings: Trainings, threads: int) -> Contender:
    import torch

    from geoattn_jax.bench import torch_networks

    sizes, phase = trainings.sizes, trainings.phase
    features, labels = (torch.from_numpy(np.array(array)) for array in trainings.sequences)
    labels = labels.long()
    orders = np.stack([phase.whole_batch(SEED, number).order for number in range(phase.steps)])
    orders = torch.from_numpy(orders).long()
    starts = [trainings.one(number) for number in range(sizes.sample)]

    def trained(start: Params, order: torch.Tensor) -> torch_networks.VideoHead:
        model = torch_networks.VideoHead(sizes.features, sizes.units, sizes.frames, sizes.videos)
        torch_networks.load(model, start)
        optimizer = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE, alpha=0.9, eps=1e-8)
        for batch in order:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(features[batch]), labels[batch]).backward()
            optimizer.step()
        return model

    def call() -> list[torch_networks.VideoHead]:
        torch.set_num_threads(threads)
        return [trained(start, orders[:, :, number]) for number, start in enumerate(starts)]

    @torch.no_grad()
    def arrays(models: Any) -> dict[str, np.ndarray]:
        losses = [torch.nn.functional.cross_entropy(model(features), labels).item() for model in models]
        return {"losses": np.array(losses)}

    name = f"torch, {threads} thread{'s' if threads > 1 else ''}"
    return Contender(name, "trainings", call, arrays, part=sizes.sample / sizes.rounds)


SUITE = Suite(title="300 LSTM rounds", method=METHOD, workloads=WORKLOADS, cases=cases, causes=CAUSES)
