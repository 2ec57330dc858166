"""A disk with no space left, for this process: what happens to files beyond a size."""

import contextlib
import resource


@contextlib.contextmanager
def no_space_beyond(size):
    """No file can be larger; the system refuses to write to it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
