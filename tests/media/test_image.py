import errno
import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from mdth.errors import InputError, MissingInput, UnreadableMedia
from mdth.media import image as image_module
from mdth.media.image import BACKGROUND, read_image
from tests.support.raising import raises

WIDTH, HEIGHT = 90, 60


def _colours() -> np.ndarray:
    """A smooth picture [60,90,3] whose corners all differ."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([rows * 4, columns * 2, 255 - rows * 2 - columns], -1).astype(np.uint8)


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(_colours())


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    return float(np.abs(found.astype(int) - expected.astype(int)).mean())


@pytest.mark.parametrize(("name", "most", "options"), [
    ("a.png", 0, {}), ("a.bmp", 0, {}), ("a.tiff", 0, {}),
    ("lzw.tiff", 0, {"compression": "tiff_lzw"}), ("lossless.webp", 0, {"lossless": True}),
    ("a.webp", 4, {"quality": 95}), ("a.jpg", 3, {"quality": 95}),
    ("progressive.jpg", 3, {"quality": 95, "progressive": True}), ("a.avif", 3, {"quality": 95}),
])  # fmt: skip
def test_formats(
    tmp_path: Path, picture: Image.Image, name: str, most: float, options: dict[str, object]
) -> None:
    picture.save(tmp_path / name, **options)
    assert _error(read_image(tmp_path / name), _colours()) <= most
    (tmp_path / name).rename(tmp_path / "content.decides")
    assert _error(read_image(tmp_path / "content.decides"), _colours()) <= most


def test_heic() -> None:
    """What phones write; Pillow writes none, so this one was made once by pillow-heif."""
    red, green = np.meshgrid(np.linspace(0, 255, 96), np.linspace(0, 255, 64))
    expected = np.stack([red, green, np.full_like(red, 128)], -1).astype(np.uint8)
    found = read_image(Path(__file__).parents[1] / "data/gradient.heic")
    assert _error(found, expected) <= 3


@pytest.mark.parametrize(("mode", "most"), [("P", 12), ("CMYK", 3), ("RGBA", 0), ("RGBX", 3)])
def test_modes(tmp_path: Path, picture: Image.Image, mode: str, most: float) -> None:
    converted = (
        picture.convert("P", palette=Image.Palette.ADAPTIVE)
        if mode == "P"
        else picture.convert(mode)
    )
    path = tmp_path / ("a.png" if mode in ("P", "RGBA") else "a.tiff")
    converted.save(path)
    assert _error(read_image(path), _colours()) <= most


@pytest.mark.parametrize("name", ["l.png", "l.jpg", "la.png", "i16.png", "i16.tiff", "f.tiff"])
def test_grey(tmp_path: Path, picture: Image.Image, name: str) -> None:
    grey = np.asarray(picture.convert("L"))
    by_name = {
        "la": lambda: picture.convert("LA"),
        "i16": lambda: Image.fromarray(grey.astype(np.uint16) * 257),
        "f": lambda: Image.fromarray((grey / 255).astype(np.float32)),
    }
    by_name.get(name.split(".")[0], lambda: picture.convert("L"))().save(tmp_path / name)
    assert _error(read_image(tmp_path / name), np.repeat(grey[..., None], 3, -1)) <= 1


@pytest.mark.parametrize(("kind", "black", "white"), [
    (np.uint16, 0, 4095), (np.uint16, 0, 1023), (np.uint16, 0, 255), (np.int32, 0, 65535),
    (np.float32, 0, 255), (np.float32, 0, 65535), (np.float32, -1, 1), (np.float32, 0, 1.2),
])  # fmt: skip
def test_grey_of_any_range(tmp_path: Path, kind: type, black: float, white: float) -> None:
    grey = np.tile(np.linspace(0, 255, 200), (60, 1))
    values = (grey / 255 * (white - black) + black).astype(kind)
    if kind is np.float32:
        values[30, 100:103] = np.nan, np.inf, 1e9
    Image.fromarray(values).save(tmp_path / "a.tiff")
    expected = np.clip(grey * 1.2 if white == 1.2 else grey, 0, 255).round().astype(np.uint8)
    assert _error(read_image(tmp_path / "a.tiff"), np.repeat(expected[..., None], 3, -1)) <= 0.6


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_sixteen_bit_colour(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / name), _colours()[..., ::-1].astype(np.uint16) * 257)
    assert _error(read_image(tmp_path / name), _colours()) == 0


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_alpha_lies_on_grey(tmp_path: Path, picture: Image.Image, name: str) -> None:
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, WIDTH // 2 :] = 255
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / name, lossless=True)
    expected = _colours()
    expected[:, : WIDTH // 2] = BACKGROUND
    assert _error(read_image(tmp_path / name), expected) == 0


def test_transparent_palette_colour(tmp_path: Path) -> None:
    indexed = Image.fromarray(np.tile(np.uint8([0, 1]), (4, 4)), "P")
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    indexed.save(tmp_path / "a.png", transparency=0)
    found = read_image(tmp_path / "a.png")
    assert (found[0, 0].tolist(), found[0, 1].tolist()) == ([BACKGROUND] * 3, [0, 255, 0])


@pytest.mark.parametrize("extension", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn(tmp_path: Path, picture: Image.Image, orientation: int, extension: str) -> None:
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    turned = picture.transpose(stored[orientation]) if orientation in stored else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / f"a.{extension}", exif=exif, quality=95, lossless=True)
    assert _error(read_image(tmp_path / f"a.{extension}"), _colours()) <= 3


def test_odd_sides_become_even(tmp_path: Path, picture: Image.Image) -> None:
    picture.crop((0, 0, 89, 57)).save(tmp_path / "a.png")
    assert _error(read_image(tmp_path / "a.png"), _colours()[:56, :88]) == 0


def test_scaled_to_max_size(tmp_path: Path, picture: Image.Image) -> None:
    picture.resize((1801, 1200), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    assert _error(read_image(tmp_path / "a.png", max_size=90), _colours()) < 2
    assert read_image(tmp_path / "a.png", max_size=701).shape[0] % 2 == 0
    assert max(read_image(tmp_path / "a.png", max_size=701).shape) <= 701


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_is_applied(tmp_path: Path, mode: str) -> None:
    # A profile whose red and blue are swapped, made from sRGB's own: visible if it is used.
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    picture = Image.new("RGB", (20, 20), (250, 20, 20)).convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=bytes(profile))
    red_level, _, blue_level = read_image(tmp_path / "a.png")[0, 0].tolist()
    assert blue_level > 200 > 60 > red_level


def _icc(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A colour profile (ICC.1:2004), of a printer or of a grey screen."""
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    white = struct.pack(">3i", 63190, 65536, 54061)
    head = struct.pack(">4x4s4s4s4s12x4s28x", b"\2\x40\0\0", kind, space, pcs, b"acsp") + white
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + white}
    table, place, body = struct.pack(">I", len(tags)), 132 + 12 * len(tags), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    return struct.pack(">I", place + len(body)) + (head.ljust(124, b"\0") + table + body)


def test_profiles_of_grey_and_print(tmp_path: Path) -> None:
    gamma = b"curv" + struct.pack(">4xIH", 1, 256)  # 1.0: light itself; of 55 sRGB makes 128
    picture = Image.new("L", (20, 20), 55)
    picture.save(tmp_path / "l.png", icc_profile=_icc(b"GRAY", b"XYZ ", {b"kTRC": gamma}))
    same, one = bytes(range(256)), struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    ink = bytes([136, 128, 128, 0, 128, 128])  # any ink: L* 53, which is grey 127; black: none
    lut = b"mft1" + struct.pack(">4x4B", 4, 3, 2, 0) + one + 4 * same + 8 * ink + 3 * same
    picture = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    picture.save(tmp_path / "k.tiff", icc_profile=_icc(b"CMYK", b"Lab ", {b"A2B0": lut}))
    for name in ("l.png", "k.tiff"):
        assert np.abs(read_image(tmp_path / name).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("damage", ["text", "empty", "half", "header"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.bmp"])
def test_what_is_no_picture(tmp_path: Path, picture: Image.Image, name: str, damage: str) -> None:
    path = tmp_path / name
    picture.save(path)
    content = path.read_bytes()
    path.write_bytes({
        "text": b"Dear reader, this is no picture at all.\n", "empty": b"",
        "half": content[: len(content) // 2], "header": content[:40],
    }[damage])  # fmt: skip
    raises(UnreadableMedia, name, read_image, path)


def test_missing(tmp_path: Path) -> None:
    raises(MissingInput, None, read_image, tmp_path / "none.png")
    raises(InputError, None, read_image, tmp_path)


def test_too_large(tmp_path: Path, picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    picture.save(tmp_path / "a.png")
    monkeypatch.setattr(image_module, "LARGEST_PIXELS", WIDTH * HEIGHT - 1)
    raises(UnreadableMedia, "90 x 60 px", read_image, tmp_path / "a.png")


def test_a_twelve_thousand_pixel_picture(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.linear_gradient("L").resize((12_000, 3_000)).convert("RGB").save(path, quality=60)
    tracemalloc.start()
    found = read_image(path, max_size=1280)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == (320, 1280, 3)
    assert peak < 30_000_000  # Python's own share; decoded it would be 108 MB
    assert found[:, 640, 0].astype(int) == pytest.approx(np.linspace(0, 255, 320), abs=3)


def test_strips_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.linspace(0, 255, 1030)[:, None, None]
    Image.fromarray(np.broadcast_to(rows, (1030, 64, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(image_module, "STRIP_ROWS", 16)
    found = read_image(tmp_path / "a.png", max_size=100)
    assert np.diff(found[:, 0, 0].astype(int)).min() >= 0
    assert np.diff(found[:, 0, 0].astype(int)).max() <= 4


def test_what_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(image_module, "BoundedFile", refuse)
    (tmp_path / "a.jpg").write_bytes(b"x")
    raises(UnreadableMedia, "a.jpg: cannot be read .Perm", read_image, tmp_path / "a.jpg")
