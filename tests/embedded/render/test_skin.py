"""What moving skin does: seen alike on both sides, changed where it may be and nowhere else."""

from typing import Any

import cv2
import numpy as np
import pytest

from mdth.artefacts import Frame, Portrait
from mdth.embedded.render import skin
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.skin import CHANNELS, LIDS, LOWER, Area, Skin, SkinPainter
from mdth.embedded.render.tone import Tone
from mdth.errors import CheckpointError
from mdth.face import geometry, topology
from training.measures import MIRROR

TONE = Tone.of(np.array([180.0, 140.0, 120.0]))
AREAS = (LOWER, *LIDS)


class Network:
    """Makes skin lighter wherever it may."""

    def run(self, _: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Planes [1,5,h,w] and ways [1,K] -> skin [1,3,h,w]."""
        planes, ways = given["planes"], given["ways"]
        assert planes.shape[1] == CHANNELS and ways.shape[0] == 1
        return [planes[:, :3] + 0.2 * planes[:, 3:4]]


def driven(portrait: Portrait, area: Area, by: float) -> np.ndarray:
    """The mesh with a jaw or an eye's vertices lowered by some eye distances."""
    mesh = portrait.mesh.astype(float)
    below = np.flatnonzero(mesh[:, 1] > mesh[list(topology.LIP_MID_PAIR), 1].mean())
    moves = below if area is LOWER else area.vertices
    mesh[np.setdiff1d(moves, topology.RIGID), 1] += by * geometry.eye_distance(mesh)
    return mesh


def painted(portrait: Portrait, area: Area, by: float) -> tuple[Frame, np.ndarray]:
    """The portrait's picture painted over, and the driving mesh."""
    mesh, driving = portrait.mesh.astype(float), driven(portrait, area, by)
    network: Any = Network()
    frame = portrait.image.copy()
    SkinPainter(area, mesh, TONE, network).paint(frame, driving, rigid_motion(mesh, driving))
    return frame, driving


def test_no_cheek_gets_a_bruise(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a network says, skin is darker by a seventh of its level at most."""
    black = lambda _, __, given: [0 * given["planes"][:, :3] - 1]  # noqa: E731
    monkeypatch.setattr(Network, "run", black)
    frame, _ = painted(portrait, LOWER, 0.08)
    before = cv2.GaussianBlur(portrait.image.mean(-1), (0, 0), 4)
    darker = before - cv2.GaussianBlur(frame.mean(-1), (0, 0), 4)
    assert darker.max() > 10 and (darker / (before + 10)).max() < 0.18


@pytest.mark.parametrize("area", AREAS)
def test_what_rests_stays_and_what_moves_changes_where_it_may(portrait: Portrait, area) -> None:
    assert np.array_equal(painted(portrait, area, 0.0)[0], portrait.image)
    frame, driving = painted(portrait, area, 0.08)
    lighter = (frame.astype(int) - portrait.image).min(-1)
    rows, columns = np.nonzero(lighter > 5)
    centre = driving[list(area.centre), :2].mean(0)
    reach = 0.5 * area.width * float(geometry.eye_distance(driving))
    assert len(rows) > 0.15 * reach * reach
    assert np.hypot(columns - centre[0], rows - centre[1]).max() < 1.3 * reach
    changed = np.abs(frame.astype(int) - portrait.image).max(-1)
    if area is LOWER:
        middle = driving[list(topology.LIP_MID_PAIR), :2].mean(0).round().astype(int)
        assert changed[middle[1], middle[0]] <= 2, "between the lips others paint"
    less = np.abs(painted(portrait, area, 0.02)[0].astype(int) - portrait.image).sum()
    assert 0 < less < 0.5 * changed.sum(), "a little for little"


def test_the_right_eye_is_seen_as_the_left_in_a_mirror(portrait: Portrait) -> None:
    width = portrait.image.shape[1]
    flipped = np.ascontiguousarray(portrait.image[:, ::-1])
    seen = []
    for picture, area, sign in ((portrait.image, LIDS[1], 1), (flipped, LIDS[0], -1)):
        rest, driving = portrait.mesh.astype(float), driven(portrait, LIDS[1], 0.05)
        if sign < 0:
            rest, driving = (m[MIRROR] * [-1, 1, 1] + [width - 1, 0, 0] for m in (rest, driving))
        one = Skin(area, rest, TONE)
        found = one.look(driving, rigid_motion(rest, driving))
        one.fill(found, picture)
        seen.append(found)
    assert np.abs(seen[0].ways - seen[1].ways).max() < 1e-4
    assert np.abs(seen[0].planes - seen[1].planes).mean() < 0.01


def test_an_area_outside_the_picture_is_no_error(portrait: Portrait) -> None:
    frame = portrait.image[:60, :60].copy()
    mesh, driving = portrait.mesh.astype(float), driven(portrait, LOWER, 0.08)
    network: Any = Network()
    SkinPainter(LOWER, mesh, TONE, network).paint(frame, driving, rigid_motion(mesh, driving))
    assert np.array_equal(frame, portrait.image[:60, :60])


def test_a_network_for_other_planes_is_refused(monkeypatch) -> None:
    class Other:
        def get_inputs(self) -> list[Any]:
            """One of four planes."""
            return [type("Input", (), {"shape": [1, CHANNELS - 1, 80, 104]})]

    monkeypatch.setattr(skin.networks, "load", lambda _: (Other(), {}))
    with pytest.raises(CheckpointError, match="install mdth again"):
        skin.shipped.__wrapped__("lids")


def test_no_light_is_put_beside_the_outer_corner_of_a_lid() -> None:
    """A dark corner may become as light as what is around it, a lid as the network says."""
    was = np.full((48, 64), 90, np.float32)
    was[16:30, 2:30] = 20
    less = skin._shining(was, np.full_like(was, 100))
    assert (was + 100 * less)[20:26, 4:10].max() < 70
    assert (less[:, 20:] == 1).all() and (skin._shining(was, np.full_like(was, -9)) == 1).all()
