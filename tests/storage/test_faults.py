from pathlib import Path

import pytest
from fault_proxy import Proxied
from fault_table import CASES, GET, HEAD, STALL_S, Case, measure, put_sources, row

from mdth.storage.settings import S3Settings

DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"


def documented() -> list[str]:
    return DOCUMENT.read_text().split(HEAD)[1].split("\n\n")[0].strip().splitlines()


def check(case: Case, operation: str, proxied: Proxied, folder: Path) -> None:
    """The fault does to the operation what the document says, and leaves nothing on the disk."""
    proxy, url = proxied
    put_sources(folder)
    proxy.stall_s = STALL_S
    assert row(case, measure(case, operation, proxy, folder, url), S3Settings()) in documented()
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("case", "operation"),
    [
        pytest.param(case, what, id=f"{case.name}-{what}")
        for case in CASES
        for what in case.operations
    ],
)
def test_as_documented(rclone_proxy: Proxied, tmp_path: Path, case: Case, operation: str) -> None:
    check(case, operation, rclone_proxy, tmp_path)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.stalls], ids=lambda case: case.name
)
def test_another_server_ends_the_same(moto_proxy: Proxied, tmp_path: Path, case: Case) -> None:
    check(case, GET, moto_proxy, tmp_path)


def test_the_document_lists_every_fault_once() -> None:
    named = [line.split(" | ")[0].removeprefix("| ") for line in documented()]
    assert named == [case.name for case in CASES]
