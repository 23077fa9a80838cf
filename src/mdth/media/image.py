"""Pictures of any common kind, as RGB with even sides."""

import io
import logging
import warnings
from pathlib import Path

import numpy as np
import pi_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mdth.artefacts import Frame
from mdth.errors import UnreadableMedia
from mdth.files.reading import BoundedFile
from mdth.media.container import check_file
from mdth.media.limits import LARGEST_PIXELS

log = logging.getLogger("mdth")

# No SVG, PDF, EPS or WMF: those are programs or name other files.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "HEIF")
pi_heif.register_heif_opener(thumbnails=False)
BACKGROUND = 128  # what lies behind a transparent picture
STRIP_ROWS = 256
BRIGHTEST_FLOAT = 2.0  # in pictures of floats whose white is 1
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of the colours of profiles
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX")

_ORIENTATION = 0x0112


def read_image(path: Path, *, max_size: int = 1280) -> Frame:
    """The picture as RGB uint8 [H,W,3], upright, sides even, the longer at most `max_size` px.

    Transparent parts lie on grey, 16 bits and floats become 8, colour profiles sRGB. A smaller
    picture is not enlarged; an odd side loses one row or column. Raises MissingInput,
    UnreadableMedia: also for a picture that is cut off, since half a face is no use.
    """
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; ours is an error
            with BoundedFile(path) as file, Image.open(file, formats=FORMATS) as image:
                return _read(image, path, max_size)
    except UnidentifiedImageError as error:
        raise UnreadableMedia(
            f"{path}: not a picture that can be read; use jpeg, png, heic, avif or webp"
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        system = getattr(error, "strerror", None)  # Pillow's own errors have none
        what = "cannot be read" if system else "the picture is damaged or cut off"
        raise UnreadableMedia(f"{path}: {what} ({system or error})") from error


def _read(image: Image.Image, path: Path, max_size: int) -> Frame:
    width, height = image.size
    if width * height > LARGEST_PIXELS:
        raise _too_large(path, f"{width} x {height} px, ")
    image.draft(None, (2 * max_size, 2 * max_size))  # JPEG decodes straight to a smaller size
    image.load()
    orientation = image.getexif().get(_ORIENTATION, 1)
    small = _reduced(image, max(1, max(image.size) // (2 * max_size)), path)
    small.getexif()[_ORIENTATION] = orientation
    ImageOps.exif_transpose(small, in_place=True)
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


def _reduced(image: Image.Image, factor: int, path: Path) -> Image.Image:
    """The picture as RGB, averaged over `factor` x `factor` px, strip by strip to save memory."""
    width, height = image.size
    rows = STRIP_ROWS * factor
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    levels, profile = _range(image), _profile(image, path)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if levels:
            black, white = levels
            eight = np.nan_to_num(255 * (np.asarray(strip, np.float32) - black) / (white - black))
            strip = Image.fromarray(np.clip(eight.round(), 0, 255).astype(np.uint8))
        strip = _rgb(strip, profile)
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return small


def _rgb(image: Image.Image, profile: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """A strip as sRGB, on grey where it is transparent."""
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if profile:
        image = profile.apply(image.convert(profile.input_mode))
    image = image.convert("RGB")
    ground = Image.new("RGB", image.size, (BACKGROUND, BACKGROUND, BACKGROUND))
    return image if alpha is None else Image.composite(image, ground, alpha)


def _profile(image: Image.Image, path: Path) -> ImageCms.ImageCmsTransform | None:
    """From the picture's own colours to sRGB, None where it does not say or they do not fit."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        mode = _MODES[own.profile.xcolor_space.strip()]
        if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and image.mode in _COLOUR):
            raise ValueError(f"it is {mode}, the picture {image.mode}")
        return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError) as error:
        if "icc_profile" in image.info:
            log.debug("%s: colour profile ignored (%s)", path, error)
        return None


def _range(image: Image.Image) -> tuple[float, float] | None:
    """Black and white of 16-bit and float grey, which has 8 to 16 bits, or reaches from 0 or -1.

    The range is the smallest that holds all but some pixels; None for a picture of 8 bits.
    """
    if not image.mode.startswith("I") and image.mode != "F":
        return None
    some = image.resize([min(side, 1000) for side in image.size], Image.Resampling.NEAREST)
    values = np.nan_to_num(np.asarray(some).astype(np.float64), posinf=0, neginf=0)
    low, high = np.percentile(values, [0.1, 99.9])
    if image.mode == "F" and high <= BRIGHTEST_FLOAT:
        return (-1.0 if low < -0.1 else 0.0), 1.0
    return 0.0, next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if high < 2**bits), high)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its content."""
    try:
        read_image(path, max_size=64)
    except UnreadableMedia:
        return False
    return True
