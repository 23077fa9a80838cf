"""Things made in order by a pool or by the caller."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mdth.parallel import DEPTH, InOrder, ahead, in_threads


@pytest.fixture(params=[0, 1, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor | None]:
    if not request.param:
        yield None
        return
    with ThreadPoolExecutor(request.param) as executor:
        yield executor


def test_order_is_kept_whichever_is_done_first(pool: ThreadPoolExecutor | None) -> None:
    def slow_when_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    made = InOrder(slow_when_even, pool).map(range(50))
    assert list(made) == [number * number for number in range(50)]


def test_no_further_ahead_than_its_depth_and_closes_what_it_began() -> None:
    taken: list[int] = []

    begun: list[int] = []
    go_on = threading.Event()

    def wait(number: int) -> int:
        begun.append(number)
        if number:
            go_on.wait()
        return number

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        ordered = InOrder(wait, pool)
        made = ordered.map(items())
        assert next(made) == 0
        assert len(taken) <= DEPTH + 1
        # What has begun ends once the last has been let go of.
        ordered._waiting[-1].add_done_callback(lambda _: go_on.set())
        made.close()
    assert set(begun) <= {0, 1, 2}, "two threads had no more to do"


def test_an_error_comes_at_its_place(pool: ThreadPoolExecutor | None) -> None:
    def refuse_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    made = InOrder(refuse_three, pool).map(range(10))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(made)


def test_items_that_are_fed_one_by_one_come_out_as_they_are_due() -> None:
    with ThreadPoolExecutor(2) as pool:
        ordered = InOrder(lambda number: number + 1, pool)
        first = [made for number in range(20) for made in ordered.feed(number)]
        assert first == list(range(1, 21 - DEPTH))
        assert [*first, *ordered.finish()] == list(range(1, 21))


def test_items_are_made_ahead_and_by_another_thread() -> None:
    asked: list[int] = []
    there = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(5):
            asked.append(threading.get_ident())
            there.release()
            yield number
        raise ValueError("five")

    made = ahead(items())
    assert next(made) == 0
    assert there.acquire() and there.acquire(), "the second is made while the first is used"
    assert list(in_threads(lambda number: number, (next(made) for _ in range(4)), 3)) == [
        1,
        2,
        3,
        4,
    ]
    with pytest.raises(ValueError, match="five"):
        next(made)
    assert threading.get_ident() not in asked
    assert list(ahead(range(3))) == [0, 1, 2]
