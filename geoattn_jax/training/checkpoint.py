"""Checkpoints of a run: when they are due; a state, with what identifies the run and a digest of its bits."""

import contextlib
import errno
import hashlib
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from geoattn_jax.files import NO_SPACE, disk_full
from geoattn_jax.training.checks import check_whole
from geoattn_jax.training.processes import first_says
from geoattn_jax.training.step import TrainState
from geoattn_jax.training.workdir import WorkdirError

KEPT = 2  # should the newest be damaged, deleting it falls back to the one before


Every = int  # how often checkpoints are written: after so many steps


class Timetable:
    """When checkpoints are due, besides after the last step of a phase.

    Args:
      every: `train`'s `checkpoint_every`.

    Raises: ValueError if it is no whole number above 0.
    """

    def __init__(self, every: Every):
        check_whole("train", "checkpoint_every", every, minimum=1)
        self._every = every

    def is_due(self, phase_step: int) -> bool:
        """Whether to write one when so many steps of a phase are done."""
        return phase_step % self._every == 0


class Restored(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      state: of training.
      lines: how many lines of metrics had been written; None if an older version did not record it.
    """

    state: TrainState
    lines: int | None


class Checkpoints:
    """The checkpoints in one folder, `FOLDER/STEP`.

    Args:
      folder: where they are; created by the first save.
      identity: what a run must have in common with the one that wrote them, as JSON.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        self._folder = folder.absolute()
        self._identity = dict(identity)
        self._manager: ocp.CheckpointManager | None = None

    def latest_step(self) -> int | None:
        """The newest checkpoint's step, None if there is none."""
        if not self._folder.is_dir():
            return None
        with _manager(self._folder, _options()) as manager:
            return manager.latest_step()

    def restore(self, like: Callable[[int], TrainState]) -> Restored | None:
        """Reads the newest checkpoint, on this process's first device; None if there is none. Writes nothing.

        Several processes all read the one that the first finds.

        Args:
          like: the shapes of the state after a number of steps.

        Raises: WorkdirError if the checkpoint is damaged or another run's.
        """
        step = first_says(lambda: self.latest_step() or 0)
        if not step:
            return None
        with _manager(self._folder, _options()) as manager:
            record = self._read(manager, step, record=ocp.args.JsonRestore())["record"]
            if record.get("identity") != self._identity:
                raise WorkdirError(
                    f"checkpoint {self._folder / str(step)} was written by another run: "
                    f"{record.get('identity')} then, {self._identity} now; use another folder"
                )
            device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            shapes = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like(step)
            )
            state = self._read(manager, step, state=ocp.args.StandardRestore(shapes))["state"]
        if record.get("digest") != digest(state):
            raise self._unreadable(step, "its content does not have the recorded digest")
        return Restored(state, record.get("lines"))

    def save(self, state: TrainState, *, lines: int) -> None:
        """Writes a checkpoint; when this returns it is on disk. Of several processes the first does.

        Args:
          state: of training, on one device.
          lines: how many lines of metrics have been written.

        Raises: DiskFullError if there is no space left for it; those before it are as they were.
        """
        with self._naming_full_disk(int(state.step)), _without_logged_tracebacks():
            self._folder.mkdir(parents=True, exist_ok=True)
            # Asked before, for orbax leaves half of its writes to themselves when one of them fails.
            if shutil.disk_usage(self._folder).free < sum(leaf.nbytes for leaf in jax.tree.leaves(state)):
                raise OSError(errno.ENOSPC, "less free than the state takes")
            self._save(state, lines)

    def close(self) -> None:
        """Ends all writing and raises what went wrong in it."""
        if self._manager is not None:
            self._manager.close()

    def _save(self, state: TrainState, lines: int) -> None:
        if self._manager is None:
            self._manager = ocp.CheckpointManager(
                self._folder,
                options=_options(
                    preservation_policy=ocp.checkpoint_managers.LatestN(KEPT),
                    # The state's memory is used again by the next step, so nothing may still be reading it.
                    enable_async_checkpointing=False,
                    cleanup_tmp_directories=True,
                ),
            )
        if jax.process_count() > 1:
            state = jax.tree.map(np.asarray, state)  # orbax takes JAX's arrays for parts of larger ones there
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                record=ocp.args.JsonSave(
                    {"identity": self._identity, "digest": digest(state), "lines": lines}
                ),
            ),
        )

    @contextlib.contextmanager
    def _naming_full_disk(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # tensorstore raises a ValueError in which the system's number stands
            named = re.search(r"os_error_code='(\d+)'", str(error))
            number = int(named[1]) if named else getattr(error, "errno", None)
            if number not in NO_SPACE:
                raise
            raise disk_full(self._folder / str(step), number) from error

    def _read(self, manager: ocp.CheckpointManager, step: int, **items: Any) -> Any:
        try:
            return manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # orbax and tensorstore raise almost anything for a damaged file
            first_line = str(error).partition("\n")[0]
            raise self._unreadable(step, f"{type(error).__name__}: {first_line[:300]}") from error

    def _unreadable(self, step: int, why: str) -> WorkdirError:
        folder = self._folder / str(step)
        return WorkdirError(
            f"checkpoint {folder} is damaged, or does not fit this program ({why}); "
            f"delete that folder to resume from the checkpoint before it, or use another workdir"
        )


def _options(**options: Any) -> ocp.CheckpointManagerOptions:
    """For a process that need not wait for others: the whole state lies on its own devices."""
    if jax.process_count() == 1:
        return ocp.CheckpointManagerOptions(create=bool(options), **options)
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"process_{this}"
    )
    return ocp.CheckpointManagerOptions(create=False, multiprocessing_options=alone, **options)


@contextlib.contextmanager
def _manager(folder: Path, options: ocp.CheckpointManagerOptions) -> Iterator[ocp.CheckpointManager]:
    manager = ocp.CheckpointManager(folder, options=options)
    try:
        yield manager
    finally:
        manager.close()


@contextlib.contextmanager
def _without_logged_tracebacks() -> Iterator[None]:
    """What orbax raises it logs as well, with a traceback."""
    logger = logging.getLogger("absl")

    def has_none(record: logging.LogRecord) -> bool:
        return not record.exc_info

    logger.addFilter(has_none)
    try:
        yield
    finally:
        logger.removeFilter(has_none)


def digest(tree: Any) -> str:
    """SHA-256 of every leaf's path, dtype, shape and bits."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape} ".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
