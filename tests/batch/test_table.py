"""Results as rows and as text."""

import csv
import json
from pathlib import Path

from mdth.batch.job import Result
from mdth.batch.table import ResultsFile, text

RESULTS = [
    Result("anna", "done", 12.345, "", 1),
    Result("ben", "failed", 0.5, 'no face, "none" at all', 3),
    Result("cleo", "skipped", 0.01, "", 1),
]


def test_rows_are_there_as_soon_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with ResultsFile(path) as file:
        for count, result in enumerate(RESULTS, start=1):
            file.add(result)
            rows = list(csv.DictReader(path.open(newline="")))
            assert len(rows) == count
    assert rows[1] == {
        "twin": "ben", "state": "failed", "seconds": "0.5", "error": 'no face, "none" at all',
        "attempts": "3",
    }  # fmt: skip


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ResultsFile(path) as file:
        for result in RESULTS:
            file.add(result)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [Result(**row) for row in rows] == RESULTS


def test_text_for_people() -> None:
    assert text(RESULTS).splitlines() == [
        "twin  state    seconds  error                   attempts",
        "anna  done     12.35                            1",
        'ben   failed   0.50     no face, "none" at all  3',
        "cleo  skipped  0.01                             1",
        "3 twins: 1 done, 1 skipped, 1 failed",
    ]
