"""What a benchmark is made of: a suite has cases, a case has contenders and goals."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

# One module for each suite, with a constant SUITE; imported when asked for, so that --help stays quick and
# nothing starts before the process has its cores and settings.
SUITES = {
    name: f"geoattn_jax.bench.{name}"
    for name in ("descriptors", "features", "flow", "gpu", "input", "kernels", "lstm", "pretrain", "render")
}

OURS = "geoattn_jax"  # the name of this package's contender

# Of float32 numbers; of those, but products round their factors to TF32; of bfloat16 images and kernels.
Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Contender:
    """One way to compute a case.

    Attributes:
      name: as it appears in the tables.
      computes: what is computed; contenders with the same words must agree before anything is timed.
      call: computes it once and returns when the result is there; or, with `wait`, when the work is queued.
      arrays: what `call` returned as named numpy arrays, in one layout for all contenders.
      temp_bytes: temporary memory of the compiled program, where known.
      part: which part of the case's work one call does, for a rival that takes too long to do all of it; its
        times are divided by it.
      wait: waits for the last of the calls that were queued, given what it returned. A kernel may take less
        time on an accelerator than it takes to hand it over and to learn that it is done.
      waits: to which each call appends for what share of its time it waited for input, where that is told.
      parts: what one call does, part by part in its order, each to be called, and timed, by itself; the name
        of each is that of the same part of the others.
    """

    name: str
    computes: str
    call: Callable[[], Any]
    arrays: Callable[[Any], dict[str, np.ndarray]]
    temp_bytes: int | None = None
    part: float = 1.0
    wait: Callable[[Any], Any] | None = None
    waits: list[float] | None = None
    parts: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """A bound on this package's time divided by a rival's, on its time, or on its temporary memory.

    Attributes:
      at_most: the bound.
      against: for a time ratio the rival, or how the names of several begin: then the fastest of them counts.
      note: the bound in other words.
      measure: what is bounded.
    """

    at_most: float
    against: str | None = None
    note: str = ""
    measure: Literal["time ratio", "milliseconds", "temporary MiB"] = "time ratio"


@dataclass(frozen=True)
class Case:
    """One workload in one mode.

    Attributes:
      workload: its short name, such as "D1".
      mode: such as "forward+backward".
      contenders: this package's first, then its rivals.
      goals: what is to be reached.
      minimum_bytes: bytes of all inputs and outputs, which no implementation can avoid moving.
      tolerance: how far contenders may differ, as a part of the largest number in the array; float32 sums of
        1e5 terms differ by a tenth of the default.
      cpu_time: whether what is told is the time that all threads computed, not the time that passed.
    """

    workload: str
    mode: str
    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    minimum_bytes: int | None = None
    tolerance: float = 1e-4
    cpu_time: bool = False


@dataclass(frozen=True)
class Suite:
    """A set of workloads that are reported together.

    Attributes:
      title: heading in BENCHMARKS.md.
      method: what is computed and how contenders are treated alike, in Markdown.
      workloads: what each workload is, by its short name.
      cases: builds the cases of the named workloads one after the other; with `smoke` in tiny sizes.
      causes: why a goal is missed, by (workload, mode); printed only under a miss.
    """

    title: str
    method: str
    workloads: Mapping[str, str]
    cases: Callable[[Sequence[str], bool], Iterator[Case]]
    causes: Mapping[tuple[str, str], str] = field(default_factory=dict)


def load(name: str) -> Suite:
    """The suite registered under `name`."""
    return importlib.import_module(SUITES[name]).SUITE


def chosen(workloads: Iterable[str], only: str | None) -> list[str]:
    """The workloads that --only names, in their own order; all without it.

    Raises: ValueError if it names another.
    """
    known = list(workloads)
    names = known if only is None else only.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"--only: no workload {unknown[0]!r}; there are {', '.join(known)}")
    return [name for name in known if name in names]
