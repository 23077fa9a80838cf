import threading
import time
from collections.abc import Iterator

import pytest

from mdth.flow import Clock, ahead, side_by_side


def test_ahead_keeps_order_and_all_items() -> None:
    assert list(ahead(iter(range(100)), depth=7)) == list(range(100))
    assert list(ahead([], depth=3)) == []


def test_ahead_makes_no_more_than_its_depth() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    flow = ahead(items(), depth=5)
    assert next(flow) == 0
    time.sleep(0.1)
    assert len(made) <= 7
    flow.close()


def test_an_error_comes_out_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("third")

    flow = ahead(items(), depth=4)
    assert next(flow) == 1
    with pytest.raises(ValueError, match="third"):
        next(flow)


def test_closing_ends_the_thread_and_the_source() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    flow = ahead(items(), depth=2)
    next(flow)
    flow.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_a_stage_inside_another_counts_for_itself() -> None:
    clock = Clock()

    def slow(items: Iterator[int], pause_s: float) -> Iterator[int]:
        for item in items:
            time.sleep(pause_s)
            yield item

    inner = clock.each("inner", slow(iter(range(5)), 0.02))
    assert list(clock.each("outer", slow(inner, 0.01))) == list(range(5))
    seconds = clock.seconds
    assert seconds["inner"] >= 0.099
    assert seconds["outer"] >= 0.049
    # Each second counts once, so that together they are no more than all.
    assert seconds["total"] >= seconds["inner"] + seconds["outer"] - 1e-3


def test_side_by_side_keeps_order_whichever_is_done_first() -> None:
    def slow_when_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    made = side_by_side(slow_when_even, range(50), workers=3, depth=4)
    assert list(made) == [number * number for number in range(50)]


def test_side_by_side_runs_no_further_ahead_than_its_depth_and_closes_its_items() -> None:
    taken: list[int] = []
    ended = []

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                taken.append(number)
                yield number
        finally:
            ended.append(True)

    flow = side_by_side(lambda number: number, items(), workers=2, depth=3)
    assert next(flow) == 0
    assert len(taken) <= 4
    flow.close()
    assert ended == [True]


def test_an_error_side_by_side_comes_at_its_place() -> None:
    def refuse_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    flow = side_by_side(refuse_three, range(10), workers=2, depth=4)
    assert [next(flow) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(flow)
