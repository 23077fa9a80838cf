"""The measure of the mouth on one portrait."""

import numpy as np
import pytest

pytest.importorskip("skimage", reason="scikit-image is not installed (extra `train`)")

from mdth.artefacts import Portrait  # noqa: E402
from mdth.embedded.motion.drive import Driver  # noqa: E402
from mdth.embedded.render import mouth_network  # noqa: E402
from mdth.embedded.render.renderer import Renderer  # noqa: E402
from mdth.motion.head import REST  # noqa: E402
from training.mouth_measure import Source, Tally  # noqa: E402
from training.sheet_shapes import Shape  # noqa: E402


def test_the_own_frame_scores_best(portrait: Portrait) -> None:
    mesh = Driver(portrait).mesh(Shape(drop=0.12).offsets(), REST)
    true = Portrait(Renderer(portrait).frame(mesh), mesh)
    bare = Source(portrait, None).show(true)
    assert np.array_equal(bare.ways["painted"], bare.ways["drawn"]), "without a network"
    assert bare.rims["painted"] == bare.rims["drawn"]
    seen = Source(portrait, mouth_network.shipped()).show(true)
    shown, inside = seen.ways, seen.inside
    assert set(seen.bright) == set(shown) and 0 < seen.bright["real"] < 1
    assert set(shown) == {"real", "painted", "drawn", "copied"}
    outside = inside == 0
    assert np.array_equal(shown["copied"][outside], shown["real"][outside])
    tally = Tally()
    tally.add(seen)
    painted, copied = tally.figures("painted"), tally.figures("copied")
    assert painted["psnr"] > copied["psnr"] + 3 and painted["gmsd"] < copied["gmsd"]
    assert painted["rim"] > copied["rim"] + 3
    assert tally.frames == 1
