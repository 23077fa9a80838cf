"""The painted mouth: colours relative to skin, conditions, and networks made for the test."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render import conditions, lower_teeth, mouth_network
from mdth.embedded.render.cavity import Cavity
from mdth.embedded.render.light import measure_light
from mdth.embedded.render.lips import lip_outline, without_inside
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.mouth import MouthPainter
from mdth.embedded.render.mouth_network import MouthNetwork
from mdth.embedded.render.renderer import Renderer
from mdth.embedded.render.tone import SKIN, Tone
from mdth.errors import CheckpointError
from mdth.face import geometry
from mdth.files import networks
from mdth.motion.head import REST
from training.sheet_shapes import Shape

onnx = pytest.importorskip("onnx", reason="networks for the test are written with onnx")


def opened(portrait: Portrait, gap: float) -> np.ndarray:
    return Driver(portrait).mesh(Shape(drop=gap).offsets(), REST).astype(float)


def drawing(channels: int = conditions.CHANNELS, gain: float = 1.0) -> bytes:
    """A network that gives the face back, and inside the lips the drawing times a gain."""
    make = onnx.helper
    size = ["h", "w"]
    floats = onnx.TensorProto.FLOAT
    ends = [
        onnx.numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("0", 0), ("3", 3), ("4", 4), ("7", 7), ("axis", 1))
    ]
    nodes = [
        make.make_node("Slice", ["conditions", "0", "3", "axis"], ["face"]),
        make.make_node("Slice", ["conditions", "3", "4", "axis"], ["lips"]),
        make.make_node("Slice", ["conditions", "4", "7", "axis"], ["drawn"]),
        make.make_node("Mul", ["drawn", "gain"], ["wanted"]),
        make.make_node("Sub", ["wanted", "face"], ["change"]),
        make.make_node("Mul", ["change", "lips"], ["changed"]),
        make.make_node("Add", ["face", "changed"], ["inside"]),
    ]
    graph = make.make_graph(
        nodes, "mouth", [make.make_tensor_value_info("conditions", floats, [1, channels, *size])],
        [make.make_tensor_value_info("inside", floats, [1, 3, *size])],
        [*ends, onnx.numpy_helper.from_array(np.float32(gain), "gain")],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


@pytest.mark.parametrize("skin", [(200, 150, 120), (90, 70, 55), (250, 251, 252), (2, 3, 1)])
def test_tone_takes_skin_to_one_place_and_back(skin) -> None:
    tone = Tone.of(np.array(skin, float))
    colours = np.random.default_rng(0).uniform(0, 255, (3, 5, 7))
    relative = tone.relative(colours)
    assert np.abs(relative).max() <= 1
    assert np.allclose(tone.absolute(relative), colours, atol=1e-6)
    assert np.array_equal(tone.relative(np.array([[0.0, 255.0]] * 3)), [[-1, 1]] * 3)
    if 30 < min(skin) and max(skin) < 230:
        assert tone.relative(np.array(skin, float)) == pytest.approx(2 * SKIN - 1)


@pytest.mark.parametrize(("band", "open_to"), [(0.4, 0.2), (0.03, 0.2), (0.4, 0.06)])
def test_a_bright_band_becomes_a_row_of_teeth(band: float, open_to: float) -> None:
    """Gaps and a dark edge where a band is surely one and there is room; else nothing changes."""
    width, height = conditions.SIZES[0]
    y, x = np.mgrid[:height, :width] * (conditions.WIDTH / width)
    x, y = x - conditions.WIDTH / 2, y - 0.15
    planes = np.zeros((conditions.CHANNELS, height, width), np.float32)
    planes[3] = (np.abs(x) < 0.25) & (y > -0.05) & (y < open_to)
    planes[7], planes[8] = 3 * x, 3 * y
    begins = 0.12
    painted = np.repeat((-0.6 + band * np.clip((y - begins) / 0.03, 0, 1))[None], 3, 0)
    factor = np.ones((3, height, width), np.float32)
    upper = np.asarray(y < 0.03, np.float32)
    lower_teeth.shape(factor, np.asarray(painted, np.float32), planes, upper)
    level = factor.mean(0)
    if open_to < begins or band < 0.1:
        assert (level == 1).all()
        return
    assert (level[y < 0.02] == 1).all() and (level[planes[3] == 0] == 1).all()
    middle = np.abs(x[0]) < 0.15
    row = level[(np.abs(y - begins - 0.045) < 0.004).any(1)][:, middle]
    gaps = (np.diff(np.sign(np.diff(row.mean(0)))) > 0).sum()
    assert 4 <= gaps <= 6 and np.ptp(row) > 0.15 and 0.75 < row.mean() < 0.95
    above = level[(np.abs(y - begins + 0.005) < 0.004).any(1)][:, middle]
    assert above.mean() < row.mean() - 0.05


def test_teeth_are_dim_in_dim_light(portrait: Portrait) -> None:
    dark = Portrait(np.asarray(0.25 * portrait.image, np.uint8), portrait.mesh)
    light, dim = (measure_light(p.image, p.mesh) for p in (portrait, dark))
    assert dim.tooth.mean() < 1.7 * dim.skin.mean() and light.tooth.mean() > 145
    # Dark skin shines where the light falls on it.
    shining = dark.image.copy()
    for x, y in np.round(portrait.mesh[::20, :2]).astype(int):
        shining[y - 1 : y + 2, x - 1 : x + 2] = 140
    assert measure_light(shining, portrait.mesh).tooth.mean() > 165


def test_teeth_are_not_olive_under_yellow_light(portrait: Portrait) -> None:
    """Whites of [1.1, 1.03, 0.87] made teeth of [1.08, 1.01, 0.91]."""
    yellow = np.clip(portrait.image * np.array([1.0, 0.95, 0.75]), 0, 255).astype(np.uint8)
    tooth = measure_light(yellow, portrait.mesh).tooth
    plain = measure_light(portrait.image, portrait.mesh).tooth
    red, green, blue = tooth / tooth.mean()
    assert red > 1.03 > 1.01 > green > blue and blue < (plain / plain.mean())[2]


def test_conditions_follow_skull_and_jaw(portrait: Portrait) -> None:
    cavity = Cavity(portrait)
    frame = portrait.image
    planes = {}
    for gap in (0.05, 0.15):
        mesh = opened(portrait, gap)
        bones = cavity.bones(mesh, rigid_motion(portrait.mesh.astype(float), mesh))
        seen = conditions.look(cavity, bones, mesh, conditions.SIZES[0])
        around = conditions.cut_out(frame, seen.view)
        planes[gap] = conditions.conditions(cavity, bones, seen, around)
        assert planes[gap].shape == (conditions.CHANNELS, *conditions.SIZES[0][::-1])
        assert np.isfinite(planes[gap]).all()
        assert np.abs(planes[gap][[0, 1, 2, 4, 5, 6]]).max() <= 1
    # Upper teeth keep their place in the skull, lower ones sink with the jaw.
    apart = {gap: (p[8] - p[9]).mean() / 3 for gap, p in planes.items()}
    assert apart[0.05] == pytest.approx((p := planes[0.05])[8, 0, 0] / 3 - p[9, 0, 0] / 3, abs=1e-5)
    assert 0.03 < apart[0.15] - apart[0.05] < 0.1
    assert planes[0.15][3].sum() > 1.8 * planes[0.05][3].sum()


def test_a_cut_out_of_a_large_picture_is_averaged() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (600, 800, 3)).astype(np.uint8)
    cos, sin = 0.3 * np.cos(0.2), 0.3 * np.sin(0.2)
    from mdth.embedded.render.cavity import View

    view = View(np.array([[cos, sin, -60.0], [-sin, cos, -40.0]]), (128, 80))
    shown = conditions.cut_out(noise, view)
    assert shown.shape == (80, 128, 3) and shown.std() < 0.45 * noise.std()
    assert np.allclose(conditions.cut_out(np.full_like(noise, 90), view), 90)


def test_what_the_network_says_is_laid_between_the_lips(portrait: Portrait) -> None:
    network = MouthNetwork(networks.session(drawing()))
    mesh = opened(portrait, 0.12)
    frame = Renderer(portrait).frame(portrait.mesh)
    painted = frame.copy()
    MouthPainter(portrait, network).paint(painted, mesh, rigid_motion(portrait.mesh, mesh))
    rows, columns = np.nonzero(np.abs(painted.astype(int) - frame).max(-1) > 0)
    unit = float(geometry.eye_distance(portrait.mesh))
    assert 0.3 * unit < np.ptp(columns) < 0.8 * unit and np.ptp(rows) < 0.4 * unit


def test_finish_raises_light_detail_inside_the_lips_alone() -> None:
    random = np.random.default_rng(3)
    tone = Tone(np.ones(3))
    planes = np.zeros((conditions.CHANNELS, 80, 128), np.float32)
    planes[3, 20:60, 30:100] = planes[8] = 1
    planes[11:14] = 0.8
    inside = planes[3] == 1
    flat = mouth_network.finished(np.full((3, 80, 128), 0.4, np.float32), planes, tone)
    assert np.abs(flat[:, 22:58, 32:98] - 255 * 0.7).max() < 1
    painted = random.normal(0, 0.1, (1, 80, 128)).astype(np.float32).repeat(3, 0)
    made, plain = mouth_network.finished(painted, planes, tone), tone.absolute(painted)
    light = inside & (painted[0] > 0.1)
    assert (made - plain)[:, light].mean() > 5
    assert made[:, ~inside] == pytest.approx(plain[:, ~inside], abs=1e-3)
    # What the network says outside the lips does not reach inside.
    painted[:, ~inside] += 5
    assert np.abs(mouth_network.finished(painted, planes, tone) - made)[:, inside].max() < 1e-2


def test_a_gap_in_a_drawn_row_is_filled_and_what_is_beside_it_stays() -> None:
    tone = Tone(np.ones(3))
    planes = np.zeros((conditions.CHANNELS, 80, 128), np.float32)
    planes[3], planes[4:7] = 1, -1
    planes[11:14] = planes[4:7, 20:40, 30:100] = tone.relative(np.full((3, 1, 1), 200.0))
    painted = np.zeros((3, 80, 128), np.float32) + tone.relative(np.full((3, 1, 1), 30.0))
    painted[:, 20:40, 30:100] = tone.relative(np.full((3, 1, 1), 180.0))
    painted[:, 20:40, 60:64] = tone.relative(np.full((3, 1, 1), 40.0))
    # And two teeth part where they are drawn apart.
    planes[4:7, 20:40, 80:82] = tone.relative(np.full((3, 1, 1), 80.0))
    before = mouth_network.finished(painted * 1, planes * (np.arange(14) != 5)[:, None, None], tone)
    made = mouth_network.finished(painted, planes, tone)
    assert made[:, 30, 62].mean() > 100 > 60 > before[:, 30, 62].mean()
    assert np.abs(made - before)[:, 50:].max() < 1


def test_of_parted_lips_what_lies_between_does_not_stay_beside_them(portrait: Portrait) -> None:
    assert without_inside(portrait.image, portrait.mesh) is portrait.image
    mesh = opened(portrait, 0.1)
    lips = np.full_like(portrait.image, (150, 70, 75))
    line = np.round(lip_outline(mesh)).astype(np.int32)
    beyond = round(0.008 * float(geometry.eye_distance(mesh)))
    seen = lips.copy()
    cv2.polylines(cv2.fillPoly(seen, [line], (250, 250, 240)), [line], True, (9, 9, 9), 2 * beyond)
    assert (seen != lips).sum() > 1500
    assert np.abs(without_inside(seen, mesh).astype(int) - lips).max() <= 5


def test_what_is_before_a_mouth_is_not_painted_over(portrait: Portrait) -> None:
    """Lips are guessed there, however far apart: the picture is the portrait's own."""
    hidden = Portrait(portrait.image, opened(portrait, 0.1).astype(np.float32), covered=1.0)
    frame = Renderer(hidden).frame(hidden.mesh)
    assert np.abs(frame.astype(int) - hidden.image).max() <= 2


def test_the_lips_rim_changes_softly_and_not_where_the_lips_close(portrait: Portrait) -> None:
    planes = np.zeros((conditions.CHANNELS, 80, 128), np.float32)
    planes[3, 30:50, 40:90] = 1
    tone = Tone.of(np.array([180.0, 140, 120]))
    change = conditions.rim_change(planes, np.full((3, 80, 128), 200, np.float32), tone)
    assert change[:, 40, 60].max() == 0 and change[:, 28, 60].min() > change[:, 25, 60].min() > 0
    assert change[:, 15].max() == 0 == change[..., 20].max()
    network = MouthNetwork(networks.session(drawing(gain=0.0)))
    mesh = opened(portrait, 0.0)
    frame = portrait.image.copy()
    MouthPainter(portrait, network).paint(frame, mesh, rigid_motion(portrait.mesh, mesh))
    assert np.array_equal(frame, portrait.image)


def test_another_network_paints_otherwise(portrait: Portrait) -> None:
    mesh = opened(portrait, 0.12)
    rigid = rigid_motion(portrait.mesh.astype(float), mesh)
    shown = []
    for gain in (1.0, 0.0):
        frame = portrait.image.copy()
        network = MouthNetwork(networks.session(drawing(gain=gain)))
        MouthPainter(portrait, network).paint(frame, mesh, rigid)
        shown.append(frame.astype(int))
    assert np.abs(shown[0] - shown[1]).max() > 40


def test_own_teeth_are_a_smiles(portrait: Portrait) -> None:
    def smiling(gap: float, share: float) -> Portrait:
        """Lips with teeth in so much of what they show, from above."""
        mesh = opened(portrait, gap)
        image = portrait.image.copy()
        lips = np.round(lip_outline(mesh)).astype(int)
        seen = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [lips], 1) > 0
        image[seen] = [70, 20, 25]
        image[seen & (np.cumsum(seen, 0) <= share * seen.sum(0))] = [235, 228, 215]
        return Portrait(image, mesh)

    smile = smiling(0.12, 1.0)
    assert Cavity(smile).own_teeth
    assert not Cavity(smile, show_own=False).own_teeth
    assert not Cavity(smiling(0.12, 0.4)).own_teeth, "lips parted, some teeth"
    assert not Cavity(smiling(0.04, 1.0)).own_teeth, "a strip of teeth"
    assert not Cavity(portrait).own_teeth
    # They are kept whatever the network paints, and at rest everything is.
    mesh = np.asarray(smile.mesh, float)
    frame = smile.image.copy()
    network = MouthNetwork(networks.session(drawing(gain=0.0)))
    MouthPainter(smile, network).paint(frame, mesh, rigid_motion(mesh, mesh))
    off = np.abs(frame.astype(int) - smile.image).max(-1)
    upper = np.round(lip_outline(mesh)[:41].mean(0) + [0, 0.02 * geometry.eye_distance(mesh)])
    x, y = upper.astype(int)
    assert off[y, x - 8 : x + 9].max() < 40
    assert off[: int(mesh[13, 1]) - 8].max() == 0


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty folder in the place of the shipped weights."""
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path)
    monkeypatch.setattr(networks.load, "__defaults__", (tmp_path,))
    mouth_network.shipped.cache_clear()
    yield tmp_path
    mouth_network.shipped.cache_clear()


def put(folder: Path, model: bytes) -> None:
    import hashlib
    import json

    (folder / "mouth.onnx").write_bytes(model)
    (folder / "mouth.json").write_text(json.dumps({"sha256": hashlib.sha256(model).hexdigest()}))


def test_missing_weights_are_said(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="no usable weights"):
        mouth_network.shipped()


def test_shipped_weights_are_used(weights: Path, portrait: Portrait) -> None:
    put(weights, drawing())
    assert MouthPainter(portrait)._network is mouth_network.shipped()


def test_weights_of_another_version_or_hash_are_refused(weights: Path) -> None:
    put(weights, drawing(channels=15))
    with pytest.raises(CheckpointError, match="15 planes"):
        mouth_network.shipped()
    (weights / "mouth.onnx").write_bytes(drawing())
    with pytest.raises(CheckpointError, match="SHA-256"):
        mouth_network.shipped()
