"""Reading the next batches while the device computes.

with ReadAhead(read, range(steps), ahead=2) as batches:
    for batch in batches:
        state = step(state, batch)
"""

import contextvars
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

N = TypeVar("N")
T = TypeVar("T")


class ReadAhead(Iterator[T], Generic[N, T]):
    """Gives read(number) for one number after the other, read by threads before it is asked for.

    The first is read by the thread that asks for it: what has to be prepared once is prepared there. At most
    `ahead` items are read or being read that were not asked for; with the one that is in use, `ahead` + 1 are
    in memory. What `read` raises is raised when its item is due; then, and when the context ends, nothing
    more is begun. An item that is being read at that moment is read to its end, and forgotten.

    Attributes:
      waited: for how many seconds items were waited for until now.
    """

    def __init__(self, read: Callable[[N], T], numbers: Iterable[N], *, ahead: int):
        """Reads nothing yet.

        Args:
          read: called by several threads at once; its result must depend on the number alone, and but for the
            first it must not wait for other processes.
          numbers: of the items, in their order; may be endless.
          ahead: how many items; with 0 each is read when it is asked for, by who asks.

        Raises: ValueError if ahead is negative.
        """
        if ahead < 0:
            raise ValueError(f"ReadAhead: ahead must be 0 or more, got {ahead}; 0 reads nothing ahead")
        self.waited = 0.0
        self._read, self._numbers, self._ahead = read, iter(numbers), ahead
        self._threads = ThreadPoolExecutor(max(1, ahead), thread_name_prefix="read_ahead")
        self._due: deque[Future[T]] = deque()
        self._begun = False

    def __next__(self) -> T:
        began = time.perf_counter()
        try:
            return self._next()
        except BaseException:
            self.close()
            raise
        finally:
            self.waited += time.perf_counter() - began

    def __enter__(self) -> "ReadAhead[N, T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Begins to read nothing more, and waits for nothing."""
        self._numbers = iter(())
        self._due.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> T:
        if not (self._ahead and self._begun):
            self._begun = True
            item = self._read(next(self._numbers))
        elif self._due:
            item = self._due.popleft().result()
        else:
            raise StopIteration
        if self._ahead:
            self._fill()
        return item

    def _fill(self) -> None:
        for number in itertools.islice(self._numbers, self._ahead - len(self._due)):
            context = contextvars.copy_context()  # in which a process may be doing something by itself
            self._due.append(self._threads.submit(context.run, self._read, number))
