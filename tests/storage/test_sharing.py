import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
from fault_proxy import Proxied, fault_proxy
from fault_table import QUICK

from mdth.errors import InputError, StorageError
from mdth.storage.store import Store
from mdth.twins.sources import choose
from s3_servers import rclone_server

HANG_S = 600
POOL = 10  # connections to a server, at most
TWINS = 200
MANY = 5_000


def use(store: Store, folder: str, name: str) -> str:
    """What a twin does: list, send, fetch; the text that came back."""
    sent = Path(folder, f"{name}.txt")
    sent.write_text(name)
    store.upload(sent, f"raw/{name}/audio/a.txt")
    assert [file.name for file in store.files(f"raw/{name}/audio")] == ["a.txt"]
    return store.download(f"raw/{name}/audio/a.txt", Path(folder, f"{name}.back")).read_text()


def work(pickled: bytes, folder: str, name: str, answers: "Queue[str]") -> None:
    """In another process: with the parent's store and with one of its own."""
    store = pickle.loads(pickled)
    answers.put(use(store, folder, name) + use(Store(store.url), folder, f"{name}-own"))


def test_200_twins_share_connections(rclone_proxy: Proxied, tmp_path: Path) -> None:
    proxy, url = rclone_proxy
    before = proxy.connections
    names = [f"t{number}" for number in range(TWINS)]
    with ThreadPoolExecutor(8) as pool:
        back = list(pool.map(lambda name: use(Store(url), str(tmp_path), name), names))
    assert back == names
    assert proxy.count() >= 3 * TWINS
    # Eight threads want eight, and more only where one opens before another is back; not shared
    # they would be 600. One twin after the other wants what is there, on any machine.
    assert proxy.connections - before < TWINS / 4
    before = proxy.connections
    again = [use(Store(url), str(tmp_path), f"{name}-again") for name in names[:50]]
    assert len(again) == 50 and proxy.connections - before <= POOL


def test_workers_and_threads_share_it(rclone_proxy: Proxied, tmp_path: Path) -> None:
    _, url = rclone_proxy
    store = Store(url, settings=QUICK)
    assert use(store, str(tmp_path), "before") == "before"  # the parent has connections now
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    arguments = [(pickle.dumps(store), str(tmp_path), f"w{n}", answers) for n in range(2)]
    workers = [context.Process(target=work, args=each) for each in arguments]
    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(use, store, str(tmp_path), f"thread{n}") for n in range(4)]
        for worker in workers:
            worker.start()
        assert {answers.get(timeout=HANG_S) for _ in workers} == {"w0w0-own", "w1w1-own"}
        assert [thread.result(HANG_S) for thread in threads] == [f"thread{n}" for n in range(4)]
    for worker in workers:
        worker.join(HANG_S)
        assert worker.exitcode == 0
    assert use(store, str(tmp_path), "after") == "after"


def refused(store: Store, answers: "Queue[str]") -> None:
    """In a forked process: what the parent's store says, and one of its own."""
    for each in (lambda: store, lambda: Store(store.url)):
        try:
            each().files("raw/none")
        except StorageError as error:
            answers.put(str(error))


def test_a_forked_process_is_told(rclone_proxy: Proxied, tmp_path: Path) -> None:
    store = Store(rclone_proxy[1], settings=QUICK)
    assert store.files("raw/none") == []
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=refused, args=(store, answers))
    child.start()
    said = [answers.get(timeout=HANG_S) for _ in range(2)]
    child.join(HANG_S)
    assert child.exitcode == 0
    assert all("forked" in each and "get_context('spawn')" in each for each in said)


@pytest.fixture(scope="module")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("thousands")
    folder = root / "bucket/store/raw/t/audio"
    folder.mkdir(parents=True)
    for number in range(MANY):
        (folder / f"{number}.wav").write_bytes(b"x")
    return root


def pick(store: Store, folder: Path) -> list[str]:
    """The names that were fetched until the first good one, which is the second, was found."""
    fetched = []

    def readable(name: str) -> None:
        fetched.append(store.download(f"raw/t/audio/{name}", folder / name).name)
        if name == "0.wav":
            raise InputError("no sound")

    choice = choose(store.files("raw/t/audio"), readable)
    assert (choice.name, len(choice.skipped)) == ("1.wav", MANY - 1)
    return fetched


def test_of_thousands_only_files_up_to_a_good_one_are_read(thousands: Path, tmp_path: Path) -> None:
    assert pick(Store(str(thousands / "bucket/store")), tmp_path) == ["0.wav", "1.wav"]


def test_of_thousands_of_objects_only_those_up_to_the_first_good_one_are_read(
    thousands: Path, tmp_path: Path, s3_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone_server(thousands) as url, fault_proxy(url) as proxy:
        monkeypatch.setenv("MDTH_S3_ENDPOINT", proxy.url)
        assert pick(Store("s3://bucket/store"), tmp_path) == ["0.wav", "1.wav"]
        assert proxy.count("GET", "list-type=2") == MANY / 1000
        assert proxy.count() == MANY / 1000 + 2
