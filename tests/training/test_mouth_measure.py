"""The measure of the mouth on one portrait, and its smoothness on strips."""

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed (extra `train`)")

from mdth.artefacts import Portrait  # noqa: E402
from mdth.embedded.motion.drive import Driver  # noqa: E402
from mdth.embedded.render import mouth_network  # noqa: E402
from mdth.embedded.render.renderer import Renderer  # noqa: E402
from mdth.motion.head import REST  # noqa: E402
from training.mouth_measure import Source, Tally  # noqa: E402
from training.mouth_strips import opened, pops  # noqa: E402
from training.sheet_shapes import Shape  # noqa: E402


def test_the_own_frame_scores_best(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mouth_network, "shipped", lambda: None)
    mesh = Driver(portrait).mesh(Shape(drop=0.12).offsets(), REST)
    seen = Source(portrait, None).show(Portrait(Renderer(portrait).frame(mesh), mesh))
    shown, inside = seen.ways, seen.inside
    assert set(seen.bright) == set(shown) and 0 < seen.bright["real"] < 1
    assert set(shown) == {"real", "painted", "drawn", "copied"}
    assert np.array_equal(shown["painted"], shown["drawn"]), "without a network"
    outside = inside == 0
    assert np.array_equal(shown["copied"][outside], shown["real"][outside])
    tally = Tally()
    tally.add(seen)
    drawn, copied = tally.figures("drawn"), tally.figures("copied")
    assert drawn["psnr"] > copied["psnr"] + 3 and drawn["gmsd"] < copied["gmsd"]
    assert tally.frames == 1


def test_the_drawing_opens_smoothly_and_a_pop_is_seen(portrait: Portrait) -> None:
    row = opened(portrait, tuple(np.arange(0.04, 0.16, 0.008)))
    assert pops([row], None)[0] < 4

    def popping(planes, tone):
        brighter = 60.0 if planes[3].sum() > np.median([s.planes[3].sum() for s in row]) else 0.0
        return tone.absolute(planes[4:7].transpose(1, 2, 0)) + brighter

    assert pops([row], popping)[0] > 10
