"""A contact sheet: portraits in rows; mouth shapes, blink and turns of the head in columns.

    python -m training.sheet data/stills sheet.png --small docs/sheet.jpg

Rows: the PORTRAITS given, or of a folder of stills ten that no training has seen. `--mouth` shows
the mouths alone, larger. To be looked at at full size.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render.renderer import Renderer
from mdth.face import geometry, topology
from mdth.face.portrait import prepare_portrait
from mdth.media.image import read_image
from training import command
from training.sheet_shapes import COLUMNS

log = logging.getLogger("mdth")

CELL_PX = 320
SMALL_PX = 1600
TITLE_PX = 24
# What a cell shows: its side and how far its middle lies below the eyes, eye distances.
HEAD, MOUTH = (3.0, 0.35), (1.3, 0.82)
# Of the stills: men, women, light and dark skin, beards, glasses, hard and soft light, a smile and
# an open mouth; all kept out of training (`training.mouth_data`).
UNSEEN = (
    "london/001_neutral",
    "london/011_smiling",
    "london/083_neutral",
    "generated/female_0",
    "generated/female_54",
    "generated/female_85",
    "generated/male_0",
    "generated/male_24",
    "generated/male_54",
    "generated/male_85",
)


def cell(picture: Frame, mesh: FloatArray, *, shows: tuple[float, float], size_px: int) -> Frame:
    """The part of a picture around a face, upright, RGB uint8 [size_px,size_px,3]."""
    left, right = (mesh[v, :2] for v in topology.OUTER_EYE_CORNERS)
    unit = float(geometry.eye_distance(mesh))
    middle = (left + right) / 2 + [0, shows[1] * unit]
    scale = size_px / (shows[0] * unit)
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = size_px / 2 - scale * middle
    if scale < 0.7:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / scale), np.uint8)
    grey = (128, 128, 128)
    shown = cv2.warpAffine(
        picture, matrix, (size_px, size_px), flags=cv2.INTER_CUBIC, borderValue=grey
    )
    return np.asarray(shown, np.uint8)


def row(portrait: Portrait, *, shows: tuple[float, float], size_px: int) -> Frame:
    """The portrait itself, then each column of `COLUMNS`, side by side."""
    renderer, driver = Renderer(portrait), Driver(portrait)
    mesh = portrait.mesh.astype(np.float64)
    frames = [portrait.image]
    frames += [renderer.frame(driver.mesh(s.offsets(), head)) for s, head in COLUMNS.values()]
    return np.concatenate([cell(f, mesh, shows=shows, size_px=size_px) for f in frames], 1)


def titled(rows: list[Frame], size_px: int) -> Frame:
    """The rows under each other, below the columns' names."""
    titles = PillowImage.new("RGB", (rows[0].shape[1], TITLE_PX), "white")
    pen = ImageDraw.Draw(titles)
    for number, name in enumerate(["portrait", *COLUMNS]):
        pen.text((number * size_px + 6, 5), name, fill="black")
    return np.concatenate([np.asarray(titles), *rows])


def chosen(given: list[Path]) -> Iterator[Path]:
    """The files given; of a folder of stills the unseen ones."""
    for path in given:
        yield from [path / f"{name}.jpg" for name in UNSEEN] if path.is_dir() else [path]


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.sheet", __doc__)
    parser.add_argument("portraits", type=Path, nargs="+", help="pictures, or the stills' folder")
    parser.add_argument("out", type=Path, help="PNG")
    parser.add_argument("--small", type=Path, help="a small JPEG of the same")
    parser.add_argument("--mouth", action="store_true", help="mouths alone")
    parser.add_argument("--cell", type=int, default=CELL_PX, help="px (default: %(default)s)")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    rows = []
    for path in chosen(given.portraits):
        portrait = prepare_portrait(read_image(path))
        rows.append(row(portrait, shows=MOUTH if given.mouth else HEAD, size_px=given.cell))
        log.info("%s", path.name)
    sheet = PillowImage.fromarray(titled(rows, given.cell))
    sheet.save(given.out)
    if given.small:
        height = round(SMALL_PX * sheet.height / sheet.width)
        sheet.resize((SMALL_PX, height), PillowImage.Resampling.LANCZOS).save(
            given.small, quality=82
        )


if __name__ == "__main__":
    command.run(main)
