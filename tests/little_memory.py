"""Run as a program: a workdir's seconds, in a process that may take no more than some memory on top.

  python little_memory.py WORKDIR BYTES FILE

Then whether a file's array "features" as a whole would have been too large."""

import resource
import sys
from pathlib import Path

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.fitting import Fitting
from geoattn_jax.training import read_array

if __name__ == "__main__":
    workdir, allowed, path = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + allowed, hard))
    print(Fitting(Config(), workdir, trains=False).seconds())
    try:
        read_array(path, "features")
    except MemoryError:
        print("too large")
