"""Training for moving skin, small: a network that learns, the written one, what samples need."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
pytest.importorskip("onnx", reason="onnx is not installed (extra `train`)")

from mdth.embedded.render.motion import Rigid  # noqa: E402
from mdth.embedded.render.skin import CHANNELS, LIDS, LOWER  # noqa: E402
from mdth.face import geometry  # noqa: E402
from mdth.files import networks  # noqa: E402
from training import skin_trainer as skin  # noqa: E402
from training.skin_bank import Bank, relit, turned_deg  # noqa: E402

AREA = LIDS[0]


def bank(count: int) -> Bank:
    """Skin that should be darker in the middle, the more its vertices moved."""
    random = np.random.default_rng(0)
    width, height = AREA.size
    planes = np.zeros((count, CHANNELS + 3, height, width), np.float16)
    planes[:, :3] = random.uniform(-0.3, 0.5, (count, 3, 1, 1))
    planes[:, 3, 8:-8, 8:-8] = 1
    moved = random.uniform(0, 1, count)
    planes[:, CHANNELS:] = planes[:, :3] - 0.4 * planes[:, 3:4] * moved[:, None, None, None]
    ways = np.repeat(moved[:, None], AREA.ways, 1).astype(np.float32)
    return Bank(planes, ways, np.ones(count))


def test_training_learns_and_is_written(tmp_path: Path) -> None:
    made = bank(24), bank(8)
    fresh = skin.SkinNetwork(AREA)
    tests = [torch.from_numpy(x) for x in made[1][:2]]
    assert torch.equal(fresh(tests[0][:, :CHANNELS].float(), tests[1]), tests[0][:, :3].float())
    network = skin.trained(made, AREA, skin.Settings(steps=50, batch=6))
    scores = skin.score(network, *tests)
    assert scores["painted"] > scores["warped"] + 1
    skin.export(network, AREA, tmp_path / "lids.onnx")
    session = networks.session((tmp_path / "lids.onnx").read_bytes())
    planes, ways = tests[0][:1, :CHANNELS].float(), tests[1][:1]
    (shown,) = session.run(None, {"planes": planes.numpy(), "ways": ways.numpy()})
    with torch.no_grad():
        assert np.abs(shown - network(planes, ways).numpy()).max() < 1e-4
    assert not np.abs(shown - planes[:, :3].numpy())[..., :6, :].any(), "where it may not, nothing"


def test_fine_detail_of_the_lower_face_is_the_portraits() -> None:
    torch.manual_seed(0)
    network = skin.SkinNetwork(LOWER)
    torch.nn.init.normal_(network.leave.weight)
    width, height = LOWER.size
    planes = torch.ones(1, CHANNELS, height, width)
    with torch.no_grad():
        change = network(planes, torch.zeros(1, LOWER.ways))[0, :3] - planes[0, :3]
    change = change[:, 8:-8, 8:-8]
    assert change.std() > 0.01
    assert change.diff(dim=-1).std() < 0.5 * change.std()


def test_the_truth_is_taken_into_the_light_of_the_warped_picture() -> None:
    picture = np.random.default_rng(1).uniform(40, 160, (40, 50, 3))
    brighter = 1.2 * picture
    brighter[15:25, 20:30] = 10
    found = relit(brighter, picture)
    assert np.abs(found - picture)[:12].max() < 2 and found[20, 25].max() < 12


@pytest.mark.parametrize("yaw", [0.0, 9.0, 25.0])
def test_how_far_a_head_has_turned(yaw: float) -> None:
    turn = 1.7 * geometry.rotation_from_euler_deg(yaw, 0, 0)
    assert turned_deg(Rigid(turn, np.zeros(3))) == pytest.approx(yaw, abs=0.01)
