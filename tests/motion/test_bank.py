import hashlib
import json
import re

import numpy as np
import pytest

from mdth.errors import CheckpointError
from mdth.motion.bank import CHEEKS, MOVED, WEIGHTS, Bank, bank
from mdth.motion.matching import Matching


def test_the_card_names_the_weights_and_each_source_with_its_licence():
    card = json.loads(WEIGHTS.with_suffix(".json").read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    counts = [re.search(r"\((\d+)\)", one["name"]) for one in card["data"]]
    assert sum(int(count[1]) if count else 1 for count in counts) == card["clips"]
    for source in card["data"]:
        assert source["licence"] == "Apache-2.0" and source["source"].startswith("https://")
        assert "generated" in source["name"], "no real person's motion is in it"


def test_the_bank_is_whole_and_has_its_mirror():
    one, both = Bank.load(), bank()
    assert one.basis.shape[1:] == (len(MOVED), 3) and one.cheeks.shape == (len(CHEEKS), 3, 4)
    assert np.isfinite(one.motion).all() and set(np.abs(one.mirror)) == {1}
    np.testing.assert_allclose(both.motion[:, 0].mean(), 0, atol=1e-6)
    starts = np.flatnonzero(np.diff(one.left) > 0)
    assert (one.left[starts] == 0).all() and one.left[-1] == 0


def test_a_damaged_bank_is_told(tmp_path):
    (tmp_path / "motion.npz").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="install mdth again"):
        Bank.load(tmp_path / "motion.npz")


@pytest.mark.parametrize("pace", [0.1, 1.0, 1.6])
def test_motion_goes_on_for_ever_without_a_jump(pace):
    known = bank()
    matching = Matching(known, np.random.default_rng(0))
    steps = np.array([matching.step(pace) for _ in range(5000)])[:, :3]
    speed = np.diff(steps, axis=0)
    inside = np.diff(known.motion[:, :3], axis=0)[known.left[:-1] > 0]
    assert np.abs(speed).max() < 1.5 * max(pace, 1) * np.abs(inside).max()
    assert (
        np.abs(np.diff(speed, axis=0)).max()
        < 2
        * max(pace, 1)
        * np.abs(np.diff(known.motion[:, :3], n=2, axis=0)[known.left[:-2] > 1]).max()
    )
    assert (steps.std(axis=0) > 0.5 * known.motion[:, :3].std(axis=0)).all()
