"""Fair timing: contenders must agree, then take turns, and are compared round by round."""

import dataclasses
import gc
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from geoattn_jax.bench.suite import Case, Contender, Goal

_log = logging.getLogger(__name__)

MINIMUM_SECONDS = 0.05  # one timing lasts at least as long


class Disagreement(Exception):
    """Two contenders that should compute the same numbers do not."""


def measure(case: Case, *, rounds: int, clock: Callable[[], float] = time.perf_counter) -> dict[str, Any]:
    """Checks that the case's contenders agree, then times them in turns.

    Args:
      case: what to measure.
      rounds: how often each contender is timed.
      clock: tells the time in seconds.

    Returns: the case's entry in the JSON file; its `disagreement` says which contenders with the same
      `computes` return different numbers, and is null where none do.
    """
    disagreement = None
    try:
        check_agreement(case)
    except Disagreement as error:
        disagreement = str(error)
    clock = time.process_time if case.cpu_time else clock
    seconds, repeats = time_in_turns(case.contenders, rounds=rounds, clock=clock)
    in_parts = [part for contender in case.contenders for part in _parts(contender)]
    if in_parts:  # after the whole, which their memory would slow down
        seconds |= time_in_turns(in_parts, rounds=rounds, clock=clock)[0]
    ours_name = case.contenders[0].name
    contenders = [
        {
            "name": contender.name,
            "computes": contender.computes,
            "milliseconds": quartiles(1e3 * second for second in seconds[contender.name]),
            "ours_over_this": quartiles(
                ours / its for ours, its in zip(seconds[ours_name], seconds[contender.name], strict=True)
            ),
            "temporary_mib": None if contender.temp_bytes is None else contender.temp_bytes / 2**20,
            "part": contender.part,
            "waits": _waits(contender, rounds * repeats[contender.name]),
            "calls_per_timing": repeats[contender.name],
            "seconds": seconds[contender.name],
            "parts": _summary_of_parts(contender, seconds),
        }
        for contender in case.contenders
    ]
    return {
        "workload": case.workload,
        "mode": case.mode,
        "minimum_bytes": case.minimum_bytes,
        "disagreement": disagreement,
        "contenders": contenders,
        "goals": [judge(goal, contenders) for goal in case.goals],
    }


def check_agreement(case: Case) -> None:
    """Runs every contender once and compares those that compute the same thing.

    Raises: Disagreement naming the contenders, the array and the difference.
    """
    expected: dict[str, tuple[str, dict[str, np.ndarray]]] = {}
    for contender in case.contenders:
        arrays = contender.arrays(contender.call())
        other, references = expected.setdefault(contender.computes, (contender.name, arrays))
        if arrays.keys() != references.keys():
            raise Disagreement(
                f"{case.workload} {case.mode}: {contender.name} returns {sorted(arrays)}, "
                f"{other} {sorted(references)}"
            )
        for name, reference in references.items():
            difference = _relative_difference(arrays[name], reference)
            if not difference <= case.tolerance:
                raise Disagreement(
                    f"{case.workload} {case.mode}: {contender.name} and {other} differ in the {name} by "
                    f"{difference:.1e} of its largest number (allowed: {case.tolerance:.0e})"
                )


def _relative_difference(array: np.ndarray, reference: np.ndarray) -> float:
    if array.shape != reference.shape:
        return math.inf
    if not array.size:
        return 0.0
    scale = np.max(np.abs(reference))
    return float(np.max(np.abs(array - reference)) / (scale if scale > 0 else 1.0))


def time_in_turns(
    contenders: Sequence[Contender], *, rounds: int, clock: Callable[[], float]
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Times every contender once in each round, in alternating order.

    Whatever disturbs the machine for a while then disturbs all of them. The contenders have run once before
    (`check_agreement`), so compilation is over.

    Returns: seconds for the case's work, one for each round, and the number of calls per timing; by name.
    """

    def timed(contender: Contender, repeats: int) -> float:
        start = clock()
        for _ in range(repeats):
            result = contender.call()
        if contender.wait is not None:
            contender.wait(result)
        return (clock() - start) / repeats

    once = {contender.name: max(timed(contender, 1), 1e-7) for contender in contenders}
    repeats = {name: max(1, math.ceil(MINIMUM_SECONDS / second)) for name, second in once.items()}
    round_seconds = sum(repeats[name] * second for name, second in once.items())
    _log.info("    %d rounds, about %.0f s", rounds, rounds * round_seconds)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    gc.collect()
    gc.disable()
    try:
        for round_ in range(rounds):
            for contender in contenders if round_ % 2 == 0 else reversed(contenders):
                second = timed(contender, repeats[contender.name])
                seconds[contender.name].append(second / contender.part)
    finally:
        gc.enable()
    return seconds, repeats


def _parts(contender: Contender) -> list[Contender]:
    """The parts of a contender as contenders, in the order of its call."""
    return [
        dataclasses.replace(contender, name=_part_name(contender, part), call=call, parts={})
        for part, call in contender.parts.items()
    ]


def _part_name(contender: Contender, part: str) -> str:
    return f"{contender.name}: {part}"


def _summary_of_parts(contender: Contender, seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Milliseconds of each part and, as "the rest", of what their medians leave of the call's."""
    if not contender.parts:
        return {}

    def summary(name: str) -> dict[str, float]:
        return quartiles(1e3 * second for second in seconds[name])

    of_parts = {part: summary(_part_name(contender, part)) for part in contender.parts}
    rest = summary(contender.name)["median"] - sum(part["median"] for part in of_parts.values())
    return {**of_parts, "the rest": {"median": rest}}  # of other rounds, so it has no quartiles


def _waits(contender: Contender, calls: int) -> dict[str, float] | None:
    """Of the last calls, which were timed."""
    return None if contender.waits is None else quartiles(contender.waits[-calls:])


def quartiles(values: Iterable[float]) -> dict[str, float]:
    """Median and quartiles."""
    q1, median, q3 = np.percentile(list(values), [25, 50, 75])
    return {"median": float(median), "q1": float(q1), "q3": float(q3)}


def judge(goal: Goal, contenders: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A goal's entry in the JSON file; `value` and `met` are null where the rival is not installed."""
    if goal.measure == "time ratio":
        # Against the fastest rival the ratio is the largest.
        ratios = [
            entry["ours_over_this"]["median"]
            for entry in contenders
            if entry["name"].startswith(goal.against)
        ]
        value = max(ratios, default=None)
    elif goal.measure == "milliseconds":
        value = contenders[0]["milliseconds"]["median"]
    else:
        value = contenders[0]["temporary_mib"]
    return {
        "measure": goal.measure,
        "against": goal.against,
        "at_most": goal.at_most,
        "note": goal.note,
        "value": value,
        "met": None if value is None else value <= goal.at_most,
    }
