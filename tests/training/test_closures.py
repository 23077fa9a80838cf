"""Closures are looked for near the middle of p, b and m, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest

from training.closures import FPS, read_phones, smallest_gaps


def test_the_smallest_gap_near_each_labial() -> None:
    gaps = np.full(FPS, 0.1)
    gaps[round(0.50 * FPS)] = 0.01
    gaps[round(0.80 * FPS)] = 0.002
    phones = [("B", 0.44, 0.52), ("AH", 0.75, 0.85), ("M", 0.60, 0.70), ("P", 0.78, 0.88)]
    assert smallest_gaps(gaps, phones) == {
        "B": [pytest.approx(0.01)], "M": [pytest.approx(0.1)], "P": [pytest.approx(0.002)],
    }  # fmt: skip


def test_the_example_has_phones_of_each_kind() -> None:
    phones = read_phones(Path(__file__).parents[2] / "src/mdth/examples/speech.tsv")
    assert {"P", "B", "M", "SIL"} <= {phone for phone, _, _ in phones}
    assert all(start < end for _, start, end in phones)
