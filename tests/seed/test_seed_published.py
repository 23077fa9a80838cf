"""The driving against what the published code made of one still and one clip."""

from pathlib import Path

import numpy as np
import pytest

from mdth.face import track
from mdth.seed import eyes, head
from mdth.seed.artefacts import Faces, SeedClip
from mdth.seed.moves import FIRST_SPOKEN, MM_PER_M, SeedDriver

DATA = Path(__file__).parents[1] / "data"
LIDS, IRISES = [37, 38, 43, 44], [3, 4]


def never_below(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The published limit of a track: it shrinks to its range, and the upper bound never acts."""
    shrunk = values * min(1.0, (high - low) / np.ptp(values))
    return shrunk + max(0.0, low - shrunk.min())


def recorded(name: str) -> dict[str, np.ndarray]:
    """What the published code took and made; `limits` is a file of what differs from `calm`."""
    found: dict[str, np.ndarray] = {}
    for part in dict.fromkeys(("calm", name)):
        with np.load(DATA / f"bfv2v_driving_{part}.npz") as file:
            found |= {key: file[key].astype(np.float64) for key in file.files}
    return found


def shown(vectors: dict[str, np.ndarray], kind: str, count: int) -> Faces:
    marks = vectors[f"{kind}_landmarks"].reshape(count, 68, 3).copy()
    marks[:, IRISES] = vectors[f"{kind}_irises"].reshape(count, 2, 3)
    view, screen = vectors["src_view"], vectors["src_viewport"] @ vectors["src_proj"]
    turn, place = vectors[f"{kind}_he_R"], vectors[f"{kind}_he_t"]
    tiled = (np.tile(part, (count, 1, 1)) for part in (view, screen))
    return Faces(marks, *tiled, turn.reshape(count, 3, 3), place.reshape(count, 3))


@pytest.mark.parametrize("fault", [True, False], ids=["as published", "limited above too"])
@pytest.mark.parametrize("name", ["calm", "limits"])
def test_landmarks_and_views_are_the_published_ones(
    name: str, fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without the published fault: no frame of either recording passes an upper limit."""
    vectors = recorded(name)
    for module in (eyes, head):
        monkeypatch.setattr(module, "limit", never_below if fault else track.limit)
    source, faces = shown(vectors, "src", 1), shown(vectors, "clip", 90)
    spoken = vectors["speech_landmarks_51_m"] - source.landmarks[0, FIRST_SPOKEN:] / MM_PER_M
    pca = eyes.EyePca(vectors["pca_S"], vectors["pca_V"])
    clip = SeedClip(faces, np.ones(90, bool))
    moves = head.from_clip(clip, source, pca, fps=30, frames=len(spoken))
    made = list(map(SeedDriver(source).drive, spoken, moves))
    assert len(made) == 150
    landmarks, views = (np.stack(part) for part in zip(*made, strict=True))
    np.testing.assert_allclose(landmarks, vectors["driving_landmarks_mm"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(views, vectors["driving_U"], rtol=0, atol=1e-4)
    # What moves at all: upper lids by millimetres, irises, the mouth, and nothing else.
    way = np.ptp(landmarks, axis=0).max(axis=1)
    assert way[LIDS].min() > 3 and way[IRISES].min() > 0.5
    assert np.delete(way[:48], LIDS + IRISES).max() == 0
