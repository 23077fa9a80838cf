"""Results as a table: a file that grows with each twin, and text for people."""

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, astuple, fields
from pathlib import Path

from mdth.batch.job import Result
from mdth.errors import InputError

COLUMNS = tuple(field.name for field in fields(Result))


class ResultsFile(contextlib.AbstractContextManager["ResultsFile"]):
    """Results in a .csv or .jsonl, a row as each comes: what is finished is kept whatever follows.

    Use it in a `with`. Raises InputError for another ending, OSError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in (".csv", ".jsonl"):
            raise InputError(f"{path}: the results are a .csv or a .jsonl; give such a name")
        self._file = path.open("w", encoding="utf-8", newline="", buffering=1)
        self._rows = csv.writer(self._file) if path.suffix == ".csv" else None
        if self._rows:
            self._rows.writerow(COLUMNS)

    def add(self, result: Result) -> None:
        """Write one row."""
        if self._rows:
            self._rows.writerow(astuple(result))
        else:
            self._file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")

    def __exit__(self, *raised: object) -> None:
        self._file.close()


def text(results: Iterable[Result]) -> str:
    """The results in columns, in the order given, and a line that counts them."""
    kept = list(results)
    rows = [COLUMNS, *(_cells(result) for result in kept)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    found = Counter(result.state for result in kept)
    states = ", ".join(f"{found[state]} {state}" for state in ("done", "skipped", "failed"))
    return "\n".join([*lines, f"{len(kept)} twins: {states}"])


def _cells(result: Result) -> tuple[str, ...]:
    return tuple(
        f"{value:.2f}" if isinstance(value, float) else str(value) for value in astuple(result)
    )
