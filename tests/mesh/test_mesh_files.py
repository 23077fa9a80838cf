import csv
import io
import json
import re
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mesh_preview import draw, read_glb, strip
from PIL import Image

from mdth.artefacts import MeshSequence, Portrait
from mdth.errors import UnreadableMedia
from mdth.face import geometry
from mdth.face.geometry import rotation_from_euler_deg
from mdth.mesh import arkit, surface
from mdth.mesh.export import export as export_any
from tests.support.raising import raises

MILLIMETRE = 1e-3
SOUND = Path("somewhere/speech.wav")
export = partial(export_any, sound=SOUND, rate_hz=16_000)


def document(path: Path) -> dict:
    content = path.read_bytes()
    return json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])


def test_glb_moves_as_the_mesh(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "anim.glb"
    export(opening, path, neutral=rest, rate_hz=44_100)
    found = read_glb(path)
    expected = surface.of_face(opening, rest)
    np.testing.assert_allclose(found.neutral, expected.neutral, atol=1e-6)
    np.testing.assert_array_equal(found.triangles, expected.triangles)
    assert np.sqrt(np.square(np.abs(found.offsets - expected.offsets)).mean()) < 0.03 * MILLIMETRE
    assert found.fps == pytest.approx(25)
    extras = document(path)["asset"]["extras"]
    assert extras["sound"] == "speech.wav" and extras["rate_hz"] == 44_100
    assert [entry.name for entry in tmp_path.iterdir()] == ["anim.glb"]


def test_glb_is_well_formed(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "anim.glb"
    export(opening, path, neutral=rest)
    content, described = path.read_bytes(), document(path)
    assert struct.unpack_from("<4sII", content) == (b"glTF", 2, len(content))
    assert len(content) % 4 == 0
    (buffer,) = described["buffers"]
    for view in described["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= buffer["byteLength"]
    (mesh,) = described["meshes"]
    (primitive,) = mesh["primitives"]
    count = len(primitive["targets"])
    names = mesh["extras"]["targetNames"]
    assert 1 <= count == len(mesh["weights"]) == len(set(names))
    assert sum(name.startswith("shape") for name in names) <= 32
    assert {name for name in names if name[:5] != "shape"} <= {*map(camel, arkit.SHAPES)}
    assert "jawOpen" in names and "eyeBlinkLeft" not in names, "only what moves"
    accessors = described["accessors"]
    sampler = described["animations"][0]["samplers"][0]
    assert accessors[sampler["output"]]["count"] == 51 * count
    assert accessors[sampler["input"]]["max"] == [2.0]
    assert accessors[primitive["indices"]]["componentType"] == 5125
    for attribute in ("POSITION", "NORMAL"):
        assert accessors[primitive["attributes"][attribute]]["count"] == 478


def camel(name: str) -> str:
    return name[0].lower() + name[1:]


def test_named_targets_do_what_they_say(tmp_path: Path, rest: np.ndarray, opening) -> None:
    """The jaw's target lowers the chin, and its weight is the one that the CSV has."""
    animation = surface.of_face(opening, rest)
    names, shapes, weights = surface.named_shapes(animation)
    jaw = names.index("jawOpen")
    assert shapes[jaw, 152, 1] < -10 * MILLIMETRE and abs(shapes[jaw, 10, 1]) < MILLIMETRE
    export(opening, tmp_path / "a.csv", neutral=rest)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [float(row["JawOpen"]) for row in rows] == pytest.approx(weights[:, jaw], abs=1e-6)


def test_the_head_moves_in_every_format(tmp_path: Path, rest: np.ndarray, opening) -> None:
    """To the person's left, down, and a step aside: the nose shows it in each file."""
    angles = np.linspace(0, 12, len(opening.offsets))
    turns = [rotation_from_euler_deg(angle, angle / 2, angle / 3) for angle in angles]
    steps = [np.array([angle / 100, 0, 0]) for angle in angles]
    for name in ("a.glb", "a.npz", "a.csv", "a.usda"):
        heads = list(zip(turns, steps, strict=True))
        export(opening, tmp_path / name, neutral=rest, heads=heads)
    face = rest + opening.offsets
    placed = np.stack([
        (one - geometry.NECK) @ turn.T + geometry.NECK + step
        for one, turn, step in zip(face, turns, steps, strict=True)
    ]) * surface.UPRIGHT * surface.EYE_DISTANCE_M  # fmt: skip
    nose = placed[-1, 4] - placed[0, 4]
    assert nose[0] > 0 > nose[1], "to the viewer's right, and down"
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_allclose(file["vertices"], placed, atol=1e-6)
    glb = read_glb(tmp_path / "a.glb")
    error = glb.head.placed(glb.neutral + glb.offsets) - placed
    assert np.sqrt(np.square(error).mean()) < 0.03 * MILLIMETRE
    last = list(csv.DictReader((tmp_path / "a.csv").open()))[-1]
    turned = [float(last[f"Head{name}"]) for name in ("Yaw", "Pitch", "Roll")]
    assert np.rad2deg(turned) == pytest.approx([12, 6, -4], abs=0.01)
    text = (tmp_path / "a.usda").read_text("utf-8")
    line = text[text.index("xformOp:transform.timeSamples") :].splitlines()[51]
    matrix = np.array(re.findall(r"-?[\d.]+(?=[,)])", line.split(":")[1]), float).reshape(4, 4)
    still = (face[-1] * surface.UPRIGHT * surface.EYE_DISTANCE_M)[4]
    np.testing.assert_allclose(np.append(still, 1) @ matrix, [*placed[-1, 4], 1], atol=1e-5)


def test_a_portraits_texture(tmp_path: Path, rest, opening, portrait: Portrait) -> None:
    for name in ("a.glb", "a.npz", "a.usda"):
        export(opening, tmp_path / name, neutral=rest, portrait=portrait)
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["texture"], portrait.image)
        size = np.array(portrait.image.shape[1::-1])
        np.testing.assert_allclose(file["uv"] * size, portrait.mesh[:, :2], atol=1e-2)
    content, described = (tmp_path / "a.glb").read_bytes(), document(tmp_path / "a.glb")
    view = described["bufferViews"][described["images"][0]["bufferView"]]
    start = 28 + struct.unpack_from("<I", content, 12)[0] + view["byteOffset"]
    with Image.open(io.BytesIO(content[start : start + view["byteLength"]])) as picture:
        assert np.abs(np.asarray(picture).astype(int) - portrait.image).mean() < 3
    (primitive,) = described["meshes"][0]["primitives"]
    assert described["accessors"][primitive["attributes"]["TEXCOORD_0"]]["type"] == "VEC2"
    assert "texCoord2f[] primvars:st" in (tmp_path / "a.usda").read_text("utf-8")


def test_the_face_looks_at_the_viewer(rest: np.ndarray, opening: MeshSequence) -> None:
    face = surface.of_face(opening, rest)
    up = surface.normals(face.neutral, face.triangles)
    assert up[4, 2] > 0.5, "the tip of the nose faces the viewer"
    assert face.neutral[10, 1] > face.neutral[152, 1], "the forehead is above the chin"
    assert 0.12 < np.ptp(face.neutral[:468, 0]) < 0.18, "metres"


@pytest.mark.parametrize("frames", [1, 2, 51])
def test_shapes_are_few_and_rest_is_rest(frames: int, opening: MeshSequence) -> None:
    offsets = opening.offsets[:frames] * 0.089
    shapes, weights = surface.principal_shapes(offsets, most=32, tolerance=2e-5)
    assert len(shapes) == weights.shape[1] <= min(32, frames)
    assert np.abs(weights).max() <= 1 + 1e-6
    assert np.sqrt(np.square(np.tensordot(weights, shapes, axes=1) - offsets).mean()) <= 2e-5
    np.testing.assert_allclose(weights[0, 0] * shapes[0, 152], 0, atol=1e-4)


def test_a_mesh_that_never_moves(tmp_path: Path, rest: np.ndarray) -> None:
    path = tmp_path / "still.glb"
    export(MeshSequence(np.zeros((3, 478, 3)), 30.0), path, neutral=rest)
    assert not read_glb(path).offsets.any()


def test_npz(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "anim.npz"
    export(opening, path, neutral=rest)
    with np.load(path, allow_pickle=False) as file:
        assert file["vertices"].shape == (51, 478, 3) and file["vertices"].dtype == np.float32
        assert file["faces"].max() < 478 and float(file["fps"]) == 25
        assert str(file["sound"]) == "speech.wav" and int(file["rate_hz"]) == 16_000
        drop = file["vertices"][0, 152, 1] - file["vertices"][25, 152, 1]
    assert drop == pytest.approx(0.2 * 0.089, rel=0.01), "the chin falls in metres"


def test_usda(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "anim.usda"
    export(opening, path, neutral=rest, sound=Path('a "quoted" name.wav'))
    text = path.read_text("utf-8")
    assert text.startswith("#usda 1.0\n") and text.count("{") == text.count("}")
    assert r'string sound = "a \"quoted\" name.wav"' in text
    assert "endTimeCode = 50" in text and "timeCodesPerSecond = 25" in text
    line = next(line for line in text.splitlines() if line.startswith("        25: "))
    points = np.array(line[13:-2].replace("(", "").replace(")", "").split(","), float)
    expected = surface.of_face(opening, rest)
    wanted = expected.neutral + expected.offsets[25]
    np.testing.assert_allclose(points.reshape(-1, 3), wanted, atol=1e-5)


def test_damaged_glb(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "anim.glb"
    export(opening, path, neutral=rest)
    path.write_bytes(path.read_bytes()[:-100])
    raises(UnreadableMedia, "cut short", read_glb, path)


def test_the_drawn_mouth_opens(tmp_path: Path, rest: np.ndarray, opening: MeshSequence) -> None:
    path = tmp_path / "anim.glb"
    export(opening, path, neutral=rest)
    picture = strip(read_glb(path), frames=3, size_px=120)
    assert picture.shape == (120, 360, 3)
    # What shows through between the lips, the background's colour.
    holes = [(part == 40).all(axis=2)[65:100, 45:75].sum() for part in np.split(picture, 3, axis=1)]
    assert holes[0] == holes[2] < 5 and holes[1] > 60


def test_the_nearer_surface_hides_the_other() -> None:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], float)
    behind = corners * 0.5 - [0, 0, 1]
    both = np.concatenate([corners, behind])
    only = draw(corners, np.array([[0, 1, 2]]), size_px=50)
    order = draw(both, np.array([[3, 4, 5], [0, 1, 2]]), size_px=50)
    other = draw(both, np.array([[0, 1, 2], [3, 4, 5]]), size_px=50)
    np.testing.assert_array_equal(order, only)
    np.testing.assert_array_equal(other, only)
