"""Reading ahead gives what reading when asked gives, in its order, holds what it may hold, and ends."""

import itertools
import threading
import time
import weakref

import numpy as np
import pytest

from geoattn_jax.training.read_ahead import ReadAhead

SECONDS = 30  # after which a thread that never comes fails a test, instead of the suite


class Counted:
    """Reads a number as itself, when it may."""

    def __init__(self, *, may_read: bool = True):
        self.begun = 0
        self.may_read = threading.Event()
        self.one_begun = threading.Semaphore(0)
        self._lock = threading.Lock()
        if may_read:
            self.may_read.set()

    def __call__(self, number):
        with self._lock:
            self.begun += 1
        self.one_begun.release()
        assert self.may_read.wait(SECONDS)
        return number


def comes_true(condition):
    deadline = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def noise(number):
    return np.random.default_rng(number).uniform(size=3)


@pytest.mark.parametrize("ahead", [0, 1, 2, 5, 20])
def test_the_same_comes_in_the_same_order(ahead):
    with ReadAhead(noise, range(12), ahead=ahead) as items:
        np.testing.assert_array_equal(list(items), [noise(number) for number in range(12)])
        assert list(items) == []
        assert items.waited > 0


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_no_more_is_read_than_so_many_ahead(ahead):
    read = Counted()
    with ReadAhead(read, itertools.count(), ahead=ahead) as items:
        for asked in range(10):
            assert read.begun <= asked + ahead
            assert next(items) == asked
    for _ in range(10):  # so many are surely read, so that the bound is not one of slow threads
        assert read.one_begun.acquire(timeout=SECONDS)


class Item:
    """What a weak reference can follow."""


@pytest.mark.parametrize("ahead", [0, 2])
def test_no_more_is_held_than_so_many_and_the_one_in_use(ahead):
    alive = weakref.WeakSet()

    def read(number):
        item = Item()
        alive.add(item)
        return item

    with ReadAhead(read, range(20), ahead=ahead) as items:
        for item in items:
            del item
            # A thread lets go of what it read a moment after it has handed it over.
            assert comes_true(lambda: len(alive) <= ahead + 1)


@pytest.mark.parametrize("ahead", [0, 1, 4])
@pytest.mark.parametrize("error", [ValueError, IndexError, KeyboardInterrupt])
def test_an_error_is_raised_when_its_item_is_due(ahead, error):
    def read(number):
        if number == 3:
            raise error("of number 3")
        return number

    with ReadAhead(read, itertools.count(), ahead=ahead) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(error, match="of number 3"):
            next(items)
        assert list(items) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_closing_waits_for_nothing_and_begins_nothing(error):
    read = Counted(may_read=False)
    items = ReadAhead(lambda number: read(number) if number else 0, itertools.count(), ahead=2)

    def leave():
        with items:
            assert next(items) == 0
            for _ in range(2):
                assert read.one_begun.acquire(timeout=SECONDS)
            raise error

    with pytest.raises(error):
        leave()
    read.may_read.set()  # only now: the context has ended while both were being read
    for thread in threading.enumerate():
        if thread.name.startswith("read_ahead"):
            thread.join(SECONDS)
    assert read.begun == 2
    assert list(items) == []


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="ahead must be 0 or more, got -1"):
        ReadAhead(noise, [1], ahead=-1)
