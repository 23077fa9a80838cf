from pathlib import Path

from mdth.storage import layout
from mdth.storage.layout import LocalTree


def test_the_folders_are_the_seeds() -> None:
    local = LocalTree(Path("warping-shared"))
    assert layout.stored_raw("t", layout.IMAGE) == "raw/t/image"
    assert layout.stored_processed("t") == "processed/t/preprocessed/th"
    assert layout.stored_inference("t") == "inference/t/th"
    assert local.raw("t", layout.VIDEO) == Path("warping-shared/warping-data/t/video")
    assert local.processed("t") == Path("warping-shared/warping-processed/t/processed/th")
    assert local.serving("t") == Path("warping-shared/warping-serving/t/th")
