"""What scripts/bench shows when one of its commands fails."""

import re

import pytest

from benchmarks import __main__ as bench


def test_a_failed_row_is_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert not bench.seed_rows("json", "json.tool", [["no_such_file"], ["--help"]])
    assert not bench.seed_rows("json", "json.tool", [["--help"], ["no_such_file"]])
    shown = capsys.readouterr().out
    assert "No such file or directory: 'no_such_file'" in shown
    # json.tool's own status: 2 until Python 3.12, 1 since.
    assert len(re.findall(r"failed with status [12]: no_such_file", shown)) == 2
    assert bench.seed_rows("json", "json.tool", [["--help"]])
