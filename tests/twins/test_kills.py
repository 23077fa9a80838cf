"""SIGKILL at every moment of a task: a reader has all of something, the next run ends the same."""

import os
import random
import time
from collections.abc import Callable

import pytest
from killed_run import CHANGES_IN_STORE
from kills import NEW, OLD, Twin, TwinOnS3, Undisturbed

# scripts/chaos kills at every moment, a test run at some of them: among them whenever a result
# itself changes, in the folders `th`.
ALL = os.environ.get("MDTH_TEST_KILLS") == "all"
Tell = Callable[[str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Tell:
    """Says something to whoever watches the tests."""

    def say(text: str) -> None:
        with capsys.disabled():
            os.write(1, f"\n{request.node.name}: {text}\n".encode())

    return say


def stops(moments: list[int]) -> list[dict[str, object]]:
    return [{"stop": number} for number in moments]


@pytest.fixture
def replacing(place, runs) -> Undisturbed:
    """A run that puts a twin in the place of an older one."""
    twin = Twin(place, runs)
    assert twin.run(OLD)["code"] == 0
    twin.change_input()
    return Undisturbed(twin)


def test_killed_while_an_older_twin_is_replaced(replacing: Undisturbed, tell: Tell) -> None:
    some = sorted({*replacing.states(" th/"), *replacing.states()[::10]})
    moments = range(len(replacing.moments)) if ALL else some
    assert not list(replacing.faults(stops(moments)))
    tell(f"killed at {len(moments)} of {len(replacing.moments)} moments")


def test_killed_while_a_twin_is_new(place, runs, tell: Tell) -> None:
    new = Undisturbed(Twin(place, runs))
    moments = range(len(new.moments)) if ALL else new.states()[::12]
    assert not list(new.faults(stops(moments)))
    tell(f"killed at {len(moments)} of {len(new.moments)} moments")


def test_killed_between_requests_to_s3(place, runs, s3_url: str, tell: Tell) -> None:
    twin = TwinOnS3(place, runs, s3_url)
    assert twin.run(OLD)["code"] == 0
    twin.change_input()
    new = Undisturbed(twin)
    requests = [
        n for n, what in enumerate(new.moments) if what.split()[1] in CHANGES_IN_STORE.values()
    ]
    kinds = {new.moments[number].split()[1] for number in requests}
    assert kinds >= {"PutObject", "DeleteObject", "UploadPart", "CompleteMultipartUpload"}
    moments = requests if ALL else requests[3::12]
    assert not list(new.faults(stops(moments)))
    tell(f"killed at {len(moments)} of {len(requests)} moments of requests: {sorted(kinds)}")


def test_killed_at_any_time(replacing: Undisturbed, tell: Tell) -> None:
    replacing.twin.set_back()
    start = time.monotonic()
    replacing.twin.run(NEW)
    seconds = time.monotonic() - start
    chance = random.Random(6)
    kills = [{"stop_after_s": chance.uniform(0, seconds)} for _ in range(40 if ALL else 6)]
    assert not list(replacing.faults(kills))
    tell(f"killed at {len(kills)} times after the first change")


@pytest.mark.parametrize("sabotage", ["manifest first", "no rename", "record stays"])
def test_that_a_fault_is_found(replacing: Undisturbed, sabotage: str, tell: Tell) -> None:
    """The order of the writes is what makes the tests above pass: without it they find faults."""
    replacing.twin.set_back()
    ended = replacing.twin.run(NEW, sabotage=sabotage)
    replacing.moments = ended["moments"]
    telling = {"manifest first": "manifest.json", "no rename": "half", "record stays": "output"}
    moments = replacing.states(telling[sabotage])
    orders = [{"stop": number, "sabotage": sabotage} for number in moments]
    first = next(replacing.faults(orders), "")
    assert first
    tell(f"found a fault: {first}")
