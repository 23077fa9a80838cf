"""The renderer's public face: a portrait and driving meshes become frames."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render import bars
from mdth.embedded.render.eyes import EyePainter
from mdth.embedded.render.light import measure_light
from mdth.embedded.render.lips import without_inside
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.mouth import MouthPainter
from mdth.embedded.render.skin import LIDS, LOWER, SkinPainter
from mdth.embedded.render.tone import Tone
from mdth.embedded.render.warp import Warp
from mdth.face import worn


class Renderer:
    """Frames of one portrait, at its own resolution: whole picture in, whole picture out."""

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        portrait, self._part = bars.without(portrait)
        self._mesh = portrait.mesh.astype(np.float64)
        self._eyes = EyePainter(portrait.image, self._mesh)
        # What is before a mouth moves with it, and nothing is painted over it.
        covers = portrait.covered > worn.SURELY_COVERED
        image = portrait.image if covers else without_inside(portrait.image, portrait.mesh)
        self._warp = Warp(replace(portrait, image=image))
        self._mouth = None if covers else MouthPainter(portrait)
        tone = Tone.of(measure_light(portrait.image, self._mesh).skin)
        areas = LIDS if covers else (*LIDS, LOWER)
        self._skin = [SkinPainter(area, self._mesh, tone) for area in areas]

    def frame(self, driving: FloatArray) -> Frame:
        """The portrait as the driving mesh [478,3] px has it, RGB uint8 [H,W,3]."""
        rows, columns = self._part
        mesh = np.asarray(driving, np.float64) - np.array([columns.start, rows.start, 0])
        rigid = rigid_motion(self._mesh, mesh)
        picture = self._warp.apply(self._warp.field(mesh, rigid), mesh)
        self._eyes.paint(picture, mesh, rigid)
        for skin in self._skin:
            skin.paint(picture, mesh, rigid)
        if self._mouth:
            self._mouth.paint(picture, mesh, rigid)
        if picture.shape == self.portrait.image.shape:
            return picture
        whole = self.portrait.image.copy()
        whole[self._part] = picture
        return whole

    def frames(self, driving: Iterable[FloatArray]) -> Iterator[Frame]:
        """One frame for each driving mesh, in order."""
        return map(self.frame, driving)
