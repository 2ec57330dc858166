"""Several processes, on one host or many, that run the same program on the devices of all.

All of them take the same steps in the same order; the first one alone writes metrics, tables and pictures,
and decides for all where a decision hangs on files. The workdir lies where all of them can read it.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")

_log = logging.getLogger(__name__)
_BY_ITSELF: ContextVar[bool] = ContextVar("by_itself", default=False)
TASKS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")  # how many there are of this program, which may be alone
LONGEST_MESSAGE = 4096  # bytes that `first_does` tells the others


class OtherProcessError(RuntimeError):
    """What the first process could not do; it says the same itself."""


class CoordinationError(ValueError):
    """Processes that cannot be brought together as the arguments say."""


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Brings the processes of a program together; called before JAX computes.

    Without arguments they are found by themselves where JAX recognizes a cluster (TPU pods, SLURM, Open MPI,
    Kubernetes, see `jax.distributed.initialize`); elsewhere this process stays alone.

    Args:
      coordinator: HOST:PORT of the first process, at which the others reach it.
      num_processes: how many there are.
      process_id: which of them this is, from 0.

    Raises: CoordinationError naming the argument that is missing or wrong.
    """
    # JAX would catch SIGTERM, and wait for programs to ask whether it came.
    jax.config.update("jax_enable_preemption_service", False)
    given = {"--coordinator": coordinator, "--num_processes": num_processes, "--process_id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if coordinator is not None and num_processes is not None and process_id is not None:
        _check(coordinator, num_processes, process_id)
        _log.info(
            "process %d of %d meets the others at %s; JAX ends it if they do not come within five minutes",
            process_id, num_processes, coordinator,
        )  # fmt: skip
        # Not by a cluster's rules, of which SLURM's would leave this process one of its GPUs.
        jax.distributed.initialize(
            coordinator, num_processes, process_id, cluster_detection_method="deactivate"
        )
    elif len(missing) == len(given) and not any(os.environ.get(name) == "1" for name in TASKS):
        try:
            jax.distributed.initialize()
        except ValueError as error:
            if "should be defined" not in str(error):  # as it says where there is no cluster
                raise CoordinationError(f"the processes of this cluster cannot be joined: {error}") from error
    elif len(missing) < len(given):
        named = ", ".join(name for name in given if name not in missing)
        raise CoordinationError(f"{named} needs {' and '.join(missing)} as well; give all three, or none")


def _check(coordinator: str, num_processes: int, process_id: int) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise CoordinationError(
            f"--coordinator must be HOST:PORT, such as 10.0.0.1:1234, got {coordinator!r}"
        )
    if num_processes < 1:
        raise CoordinationError(f"--num_processes must be at least 1, got {num_processes}")
    if not 0 <= process_id < num_processes:
        raise CoordinationError(
            f"--process_id must be from 0 to {num_processes - 1} with --num_processes={num_processes}, "
            f"got {process_id}"
        )


def is_alone() -> bool:
    """Whether this process need not wait for others: there are none, or it does something by itself."""
    return jax.process_count() == 1 or _BY_ITSELF.get()


def is_first() -> bool:
    """Whether this process writes for all."""
    return jax.process_index() == 0


def devices_at_work() -> tuple[jax.Device, ...]:
    """Those of all processes; of a process that does something by itself, its own."""
    return tuple(jax.local_devices() if is_alone() else jax.devices())


def own_share(items: Sequence[T]) -> Sequence[T]:
    """Every n-th of some items: what each of n processes has to do of what is done once for all."""
    return items if is_alone() else items[jax.process_index() :: jax.process_count()]


def wait_for_all(what: str) -> None:
    """Returns when all processes have come here.

    Args:
      what: the name of the place, the same in all of them.
    """
    if not is_alone():
        multihost_utils.sync_global_devices(what)


def first_says(answer: Callable[[], int]) -> int:
    """The first process's answer, a number or a truth value, in all of them; the others do not ask."""
    if is_alone():
        return answer()
    mine = np.array(answer() if is_first() else 0, np.int32)
    return int(multihost_utils.broadcast_one_to_all(mine))


def first_does(action: Callable[[], T], instead: T) -> T:
    """Lets the first process do something by itself, on its own devices, while the others wait.

    Returns: in the first process what the action returns, in the others `instead`.
    Raises: in the first process what the action raises, in the others OtherProcessError with its message.
    """
    if is_alone():
        return action()
    result, error = instead, None
    if is_first():
        token = _BY_ITSELF.set(True)
        try:
            result = action()
        except Exception as raised:
            error = raised
        finally:
            _BY_ITSELF.reset(token)
    _tell(error)
    return result


def _tell(error: Exception | None) -> None:
    """Raises the first process's error in all."""
    message = np.zeros(LONGEST_MESSAGE, np.uint8)
    if error is not None:
        text = (str(error) or repr(error)).encode()[:LONGEST_MESSAGE]
        message[: len(text)] = np.frombuffer(text, np.uint8)
    told = bytes(multihost_utils.broadcast_one_to_all(message)).rstrip(b"\0").decode(errors="replace")
    if error is not None:
        raise error
    if told:
        raise OtherProcessError(told)


@contextlib.contextmanager
def entered_by_first(context: contextlib.AbstractContextManager[Path], path: Path) -> Iterator[Path]:
    """A context that the first process enters and leaves; the others are given its path.

    Raises: as `first_does`, where it cannot be entered.
    """
    with contextlib.ExitStack() as stack:
        yield first_does(lambda: stack.enter_context(context), path)
