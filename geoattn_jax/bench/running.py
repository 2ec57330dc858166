"""Takes the workloads of a suite one after the other, and keeps what there is after each."""

import contextlib
import datetime
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from geoattn_jax.bench import machine, timing, torch_rivals
from geoattn_jax.bench.suite import Case, Suite

Keep = Callable[[dict[str, Any]], None]

_log = logging.getLogger(__name__)


def measured(
    name: str,
    suite: Suite,
    workloads: Sequence[str],
    *,
    smoke: bool,
    rounds: int,
    seconds: float | None,
    keep: Keep,
) -> dict[str, Any]:
    """The record of a run. Where a workload fails, the others are measured all the same.

    Args:
      name: the suite's.
      suite: what to run.
      workloads: of these alone.
      smoke: whether in tiny sizes.
      rounds: how often to time each contender.
      seconds: after which the process ends, whatever it is at; None for no limit.
      keep: is given the record after every case.
    """
    # Here, for it takes seconds, and the settings come first.
    from geoattn_jax.experiments.core.provenance import commit

    with _ending_after(seconds):
        record = {
            "suite": name,
            "command": shlex.join(["python", "-m", "geoattn_jax.bench", *sys.argv[1:]]),
            "commit": commit(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "rounds": rounds,
            "minimum_seconds": timing.MINIMUM_SECONDS,
            "machine": _machine(),
            "without_rivals": list(filter(None, map(torch_rivals.why_missing, ("torch", "torchvision")))),
            "results": [],
            "failures": {},
            "left": list(workloads),
        }
        for workload in workloads:
            began = time.monotonic()
            keep(record)
            try:
                for case in suite.cases([workload], smoke):
                    result = _result(case, rounds)
                    record["results"].append(result)
                    if result["disagreement"]:
                        record["failures"][workload] = result["disagreement"]
                    keep(record)
            except Exception as error:  # of whatever kind: the other workloads have nothing to do with it
                _log.error("%s failed: %s: %s", workload, type(error).__name__, error)
                record["failures"][workload] = f"{type(error).__name__}: {error}"
            record["left"].remove(workload)
            _log.info("%s took %.0f s", workload, time.monotonic() - began)
    keep(record)
    return record


def _machine() -> dict[str, Any]:
    description = machine.describe()
    if description["load_average"] > 0.5:
        _log.warning("load average %.1f: others are computing here", description["load_average"])
    return {**description, "copy_bytes_per_second": machine.copy_bandwidth()}


def _result(case: Case, rounds: int) -> dict[str, Any]:
    _log.info("%s %s: %d contenders", case.workload, case.mode, len(case.contenders))
    result = timing.measure(case, rounds=rounds)
    for contender in result["contenders"]:
        _log.info("    %-28s %10.3f ms", contender["name"], contender["milliseconds"]["median"])
    if result["disagreement"]:
        _log.error("%s", result["disagreement"])
    return result


@contextlib.contextmanager
def _ending_after(seconds: float | None) -> Iterator[None]:
    """Ends the process after so many seconds. Nothing less stops a compiler that is at work."""
    if seconds is None:
        yield
        return

    def end() -> None:
        _log.error("the %.0f s are over; what --out names has what was measured, and what is left", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
