from pathlib import Path

import pytest

from mdth.errors import InvalidTwinId
from mdth.storage import layout
from mdth.storage.layout import LocalTree, check_twin_id
from tests.support.raising import raises


@pytest.mark.parametrize("twin_id", ["th_test", "A-1", "a.b", "x" * 64, "7"])
def test_plain_names_are_twin_ids(twin_id: str) -> None:
    assert check_twin_id(twin_id) == twin_id


@pytest.mark.parametrize(
    "twin_id",
    [
        *("", ".", "..", "a/b", "../a", "a..b", ".hidden", "a b", " a", "a\n", "a\x00", "a\\b"),
        *("x" * 65, "ä", "аdmin", "a\u200bb", "ａ", "a\u202e", "٣", "a:b", "~", "a%2fb", "*"),
    ],
)
def test_anything_else_is_not(twin_id: str) -> None:
    raises(InvalidTwinId, None, check_twin_id, twin_id)
    raises(InvalidTwinId, None, layout.stored_raw, twin_id, layout.AUDIO)
    raises(InvalidTwinId, None, LocalTree(Path("home")).serving, twin_id)


def test_the_folders_are_the_seeds() -> None:
    local = LocalTree(Path("warping-shared"))
    assert layout.stored_raw("t", layout.IMAGE) == "raw/t/image"
    assert layout.stored_processed("t") == "processed/t/preprocessed/th"
    assert layout.stored_inference("t") == "inference/t/th"
    assert local.checkpoints == Path("warping-shared/warping-common/th/checkpoints")
    assert local.flame == Path("warping-shared/warping-common/th/flame")
    assert local.raw("t", layout.VIDEO) == Path("warping-shared/warping-data/t/video")
    assert local.processed("t") == Path("warping-shared/warping-processed/t/processed/th")
    assert local.serving("t") == Path("warping-shared/warping-serving/t/th")
