"""Pictures of any common kind, as RGB with even sides."""

import io
import logging
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mdth.artefacts import FloatArray, Frame
from mdth.errors import UnreadableMedia
from mdth.files.reading import BoundedFile
from mdth.media.container import check_file
from mdth.media.limits import LARGEST_PIXELS

log = logging.getLogger("mdth")

# No SVG, PDF, EPS or WMF: those are programs or name other files.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
BACKGROUND = 128  # what lies behind a transparent picture
STRIP_ROWS = 256

_ORIENTATION = 0x0112


def read_image(path: Path, *, max_size: int = 1280) -> Frame:
    """The picture as RGB uint8 [H,W,3], upright, sides even, the longer at most `max_size` px.

    Transparent parts lie on grey, 16 bit become 8, colour profiles become sRGB. A smaller picture
    is not enlarged; an odd side loses one row or column. Raises MissingInput, UnreadableMedia: also
    for a picture that is cut off, since half a face is no use.
    """
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; ours is an error
            with BoundedFile(path) as file, Image.open(file, formats=FORMATS) as image:
                return _read(image, path, max_size)
    except UnidentifiedImageError as error:
        raise UnreadableMedia(
            f"{path}: not a picture that can be read; use png, jpeg, webp, bmp or tiff"
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableMedia(f"{path}: the picture is damaged or cut off ({error})") from error


def _read(image: Image.Image, path: Path, max_size: int) -> Frame:
    width, height = image.size
    if width * height > LARGEST_PIXELS:
        raise _too_large(path, f"{width} x {height} px, ")
    image.draft(None, (2 * max_size, 2 * max_size))  # JPEG decodes straight to a smaller size
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)
    profile = image.info.get("icc_profile")
    small = _reduced(image, max(1, max(image.size) // (2 * max_size)))
    small.getexif()[_ORIENTATION] = orientation
    ImageOps.exif_transpose(small, in_place=True)
    if profile and image.mode in ("RGB", "RGBA"):
        small = _to_srgb(small, profile, path)
    scale = min(1.0, max_size / max(small.size))
    if scale < 1.0:
        even = [max(2, 2 * round(side * scale / 2)) for side in small.size]
        small = small.resize((even[0], even[1]), Image.Resampling.LANCZOS)
    picture = np.asarray(small)
    return np.ascontiguousarray(picture[: picture.shape[0] & ~1, : picture.shape[1] & ~1])


def _too_large(path: Path, size: str = "") -> UnreadableMedia:
    return UnreadableMedia(
        f"{path}: the picture is too large ({size}at most {LARGEST_PIXELS // 1_000_000} million "
        "pixels); scale it down"
    )


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """The picture as RGB, averaged over `factor` x `factor` px, strip by strip to save memory."""
    width, height = image.size
    rows = STRIP_ROWS * factor
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        strip = _rgb(image.crop((0, top, width, min(top + rows, height))))
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return small


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bit(image)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _eight_bit(image: Image.Image) -> Frame:
    """16-bit grey (also as 32-bit integers), and floats from 0 to 1, as 8-bit grey [H,W]."""
    values: FloatArray = np.asarray(image).astype(np.float32)
    levels = values * 255 if image.mode == "F" else values / 257
    rounded: Frame = np.clip(np.nan_to_num(levels).round(), 0, 255).astype(np.uint8)
    return rounded


def _to_srgb(image: Image.Image, profile: bytes, path: Path) -> Image.Image:
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        log.debug("%s: colour profile ignored (%s)", path, error)
        return image
    return converted or image


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its content."""
    try:
        read_image(path, max_size=64)
    except UnreadableMedia:
        return False
    return True
