"""The training loop: takes a list of phases through their steps, and resumes to the bit."""

import contextlib
import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from geoattn_jax.training.checkpoint import Checkpoints, Every, Timetable
from geoattn_jax.training.checks import check_whole
from geoattn_jax.training.division import Division, Portion, count_examples, divide, read_portion
from geoattn_jax.training.labels import LabelRule, Labels, by_module, check_labels, label_parameters
from geoattn_jax.training.parallel import PARALLELISMS, Parallelism
from geoattn_jax.training.phase import ModelState, Params, Phase, starts
from geoattn_jax.training.processes import devices_at_work, first_does, is_alone, is_first
from geoattn_jax.training.read_ahead import ReadAhead
from geoattn_jax.training.reporting import Reporter
from geoattn_jax.training.step import StepFunctions, TrainState, check_loss, initial_opt_state
from geoattn_jax.training.workdir import WorkdirError


class NonFiniteError(FloatingPointError):
    """The loss or a parameter became infinite or NaN."""


class Trained(NamedTuple):
    """What training gives, on one device."""

    params: Params
    model_state: ModelState
    step: int  # how many steps of the run it has taken


def train(
    phases: Sequence[Phase],
    params: Params,
    model_state: ModelState,
    *,
    seed: int,
    labels: LabelRule = by_module,
    directory: str | os.PathLike | None = None,
    parallel: str = "jit",
    devices: Sequence[jax.Device] | None = None,
    log_every: int = 10,
    checkpoint_every: Every = 500,
    tensorboard: bool = False,
) -> Trained:
    """Trains through all phases, or what is left of them.

    With a directory, the run can be killed at any moment and called again: it goes on from the last
    checkpoint, and its parameters and metrics equal the uninterrupted run's to the bit, on the same kind and
    number of devices (a GPU also needs XLA_FLAGS=--xla_gpu_deterministic_ops=true). A finished run returns
    its result at once. Into the directory go

    - `checkpoints/STEP`: the state, in orbax's format;
    - `metrics.jsonl`: {"step", "phase", "phase_step", "loss", the loss's metrics, "seconds"} per line, where
      step counts the updates of the whole run and `seconds` is the time spent, the only field that differs
      between two equal runs;
    - `tensorboard/`: the same, if asked for.

    Args:
      phases: what to do, in order.
      params: the initial parameters, a pytree of arrays, whose values are ignored when resuming.
      model_state: the initial mutable state, such as flax's {"batch_stats": ...}; {} if there is none.
      seed: given to every phase's batch, and the source of every step's key.
      labels: the rule that labels parameters by their path.
      directory: where to write; None keeps everything in memory.
      parallel: "jit" or "pmap" (see `parallel.py`).
      devices: what to train on, those of all processes; by default all there are.
      log_every: a line of metrics is written after every so many steps of a phase and after its last.
      checkpoint_every: likewise for checkpoints, see `Timetable`.
      tensorboard: whether to write TensorBoard's files as well (needs the extra `tensorboard`).

    Returns: the parameters and the model state.

    Raises:
      ValueError: if a phase does not fit the parameters, the devices or itself; before any step is made.
      WorkdirError: if the directory is damaged or another run's; it is left untouched.
      NonFiniteError: as soon as a loss is not finite.
    """
    if parallel not in PARALLELISMS:
        raise ValueError(f"train: parallel must be one of {sorted(PARALLELISMS)}, got {parallel!r}")
    check_whole("train", "seed", seed, minimum=0, maximum=2**32 - 1)
    check_whole("train", "log_every", log_every, minimum=1)
    timetable = Timetable(checkpoint_every)
    if parallel == "pmap" and not is_alone():
        raise ValueError("train: parallel='pmap' is for one process, got several; take parallel='jit'")
    devices = tuple(devices or devices_at_work())
    labelled = label_parameters(params, labels)
    initial = _initial_state(params, model_state)
    parallelism = PARALLELISMS[parallel](devices)
    divisions = _checked(phases, initial, labelled, parallelism, seed=seed)

    with contextlib.ExitStack() as stack:
        state, checkpoints = initial, None
        lines: int | None = 0
        folder = None if directory is None else Path(directory).absolute()
        if folder is not None:
            checkpoints = _checkpoints(folder, phases, seed)
            stack.callback(checkpoints.close)
            restored = checkpoints.restore(lambda step: _shapes(phases, labelled, initial, step))
            state, lines = restored or (initial, 0)
        done = int(state.step)
        reporter = Reporter(
            log_every=log_every,
            folder=folder if is_first() else None,
            step=done,
            lines=lines,
            tensorboard=tensorboard,
            shows=is_first(),
        )
        stack.callback(reporter.close)
        run = _Run(labelled, seed, parallelism, divisions, reporter, checkpoints, timetable)
        state = parallelism.place(state)
        for start, phase in starts(phases):
            if done < start + phase.steps:
                state = run.phase(phase, state, start=start, done=max(done - start, 0))
    return _trained(parallelism.single(state))


def load_trained(
    directory: str | os.PathLike,
    phases: Sequence[Phase],
    params: Params,
    model_state: ModelState,
    *,
    seed: int,
    labels: LabelRule = by_module,
) -> Trained:
    """Reads the newest checkpoint that `train` wrote, of a finished run or an unfinished one; writes nothing.

    Args:
      directory: the one that `train` was given.
      phases: likewise, as all further arguments; of params and model_state only the shapes matter.

    Raises: WorkdirError if there is no checkpoint, or it is damaged or another run's.
    """
    folder = Path(directory).absolute()
    labelled = label_parameters(params, labels)
    initial = _initial_state(params, model_state)
    restored = _checkpoints(folder, phases, seed).restore(
        lambda step: _shapes(phases, labelled, initial, step)
    )
    if restored is None:
        raise WorkdirError(f"{folder} has no checkpoint yet; train first")
    return _trained(restored.state)


def trained_steps(directory: str | os.PathLike) -> int:
    """How many steps of a run the newest checkpoint in its directory has done; 0 if there is none."""
    return Checkpoints(Path(directory).absolute() / "checkpoints", identity={}).latest_step() or 0


def _initial_state(params: Params, model_state: ModelState) -> TrainState:
    params, model_state = jax.tree.map(jnp.asarray, (params, model_state))
    return TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state=())


def _checkpoints(folder: Path, phases: Sequence[Phase], seed: int) -> Checkpoints:
    identity = {"seed": seed, "phases": [[phase.name, phase.steps] for phase in phases]}
    return Checkpoints(folder / "checkpoints", identity)


def _trained(state: TrainState) -> Trained:
    params, model_state = jax.device_put((state.params, state.model_state), jax.local_devices()[0])
    return Trained(params, model_state, int(state.step))


@dataclasses.dataclass(frozen=True)
class _Run:
    """What all phases of a run have in common."""

    labels: Labels
    seed: int
    parallelism: Parallelism
    divisions: Mapping[str, Division]
    reporter: Reporter
    checkpoints: Checkpoints | None
    timetable: Timetable

    def phase(self, phase: Phase, state: TrainState, *, start: int, done: int) -> TrainState:
        """Takes a placed state, whose memory is used again, through a phase of which `done` steps are done.

        `start` is the number of steps of the run before the phase.
        """
        self.reporter.start_phase(phase, done=done)
        if done == 0:
            opt_state = initial_opt_state(phase, self.labels, self.parallelism.single(state.params))
            state = state._replace(opt_state=self.parallelism.place(opt_state))
        division, axis_name = self.divisions[phase.name], self.parallelism.axis_name
        update = self.parallelism.compile(StepFunctions(phase, self.labels, self.seed, division, axis_name))
        unread = None
        with self._portions(phase, division, done=done) as portions:
            for phase_step in range(done + 1, phase.steps + 1):
                state, metrics = update(state, itertools.islice(portions, division.portions))
                # Metrics are read one step late, so that the devices always have the next step to work on.
                if unread is not None:
                    self._report(phase, start, *unread)
                unread = phase_step, metrics
                last = phase_step == phase.steps
                saves = last or self.timetable.is_due(phase_step)
                if saves or phase.evaluates_after(phase_step):
                    if last:
                        state = state._replace(opt_state=())
                    single = self.parallelism.single(state)
                    self._report(phase, start, *unread, evaluated=_evaluate(phase, phase_step, single))
                    unread = None
                    if saves:
                        self._save(phase, single)
        return state

    def _portions(self, phase: Phase, division: Division, *, done: int) -> ReadAhead[int, Portion]:
        """Those of all batches that are left, placed."""

        def read(number: int) -> Portion:
            step, portion = divmod(number, division.portions)
            own = read_portion(
                phase, division, self.parallelism.devices, seed=self.seed, step=step, portion=portion
            )
            return self.parallelism.place_portion(phase, Portion(*own))

        numbers = range(done * division.portions, phase.steps * division.portions)
        return ReadAhead(read, numbers, ahead=phase.reads_ahead)

    def _report(
        self,
        phase: Phase,
        start: int,
        phase_step: int,
        metrics: Mapping[str, jax.Array],
        evaluated: Mapping[str, Any] | None = None,
    ) -> None:
        numbers = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(numbers["loss"]):
            raise NonFiniteError(
                f"phase {phase.name!r}, step {phase_step} of {phase.steps}: the loss is {numbers['loss']}; "
                f"lower the learning rate, clip the gradients, or look at this step's batch"
            )
        numbers |= {f"eval_{name}": float(value) for name, value in (evaluated or {}).items()}
        self.reporter.report(phase, step=start + phase_step, phase_step=phase_step, metrics=numbers)

    def _save(self, phase: Phase, state: TrainState) -> None:
        for path, leaf in jax.tree_util.tree_leaves_with_path((state.params, state.model_state)):
            if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(leaf).all():
                raise NonFiniteError(
                    f"phase {phase.name!r}, step {int(state.step)} of the run: "
                    f"{jax.tree_util.keystr(path[1:])} is not finite, though the loss was; clip the gradients"
                )
        checkpoints = self.checkpoints
        if checkpoints is not None:
            first_does(lambda: checkpoints.save(state, lines=self.reporter.sync()), None)


def _evaluate(phase: Phase, phase_step: int, state: TrainState) -> Mapping[str, Any]:
    if phase.evaluate is None or not phase.evaluates_after(phase_step):
        return {}
    return phase.evaluate(state.params, state.model_state)


def _checked(
    phases: Sequence[Phase], initial: TrainState, labels: Labels, parallelism: Parallelism, *, seed: int
) -> dict[str, Division]:
    """Checks all phases before any work is done; returns how their batches are divided, by name."""
    names = [phase.name for phase in phases]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated:
        raise ValueError(f"train: phases must be at least one, with different names; got {names}")
    check_labels(phases, labels)
    divisions = {}
    for phase in phases:
        one = phase.whole_batch(seed, 0) if phase.batch_size is None else phase.batch(seed, 0, np.arange(1))
        examples = count_examples(phase, one)
        if phase.batch_size is not None:
            if examples != 1:
                raise ValueError(f"phase {phase.name!r}: batch was asked for one example and gave {examples}")
            examples = phase.batch_size
        devices = len(parallelism.devices)
        # Statistics over a batch would count what fills it up.
        fills = parallelism.fills and phase.weighted and not jax.tree.leaves(initial.model_state)
        divisions[phase.name] = divide(phase, devices if examples is None else examples, devices, fills=fills)
        portion = Portion(one, None)
        check_loss(phase, initial.params, initial.model_state, portion, axis_name=parallelism.axis_name)
    return divisions


def _shapes(phases: Sequence[Phase], labels: Labels, initial: TrainState, step: int) -> TrainState:
    """The shapes of the state after a number of steps of the run."""
    for start, phase in starts(phases):
        if start < step < start + phase.steps:
            start_of_phase = functools.partial(initial_opt_state, phase, labels)
            return initial._replace(opt_state=jax.eval_shape(start_of_phase, initial.params))
    return initial
