"""Measure what the networks of moving skin change, against real clips.

    python -m training.skin_measure data work/mouth work

Lower face: every fourth moment of the clips of `talk` for choosing and for the last table and of
`grid/others`, warped from the frame with the lips nearest, and London's kept-out people, each of
both expressions from the other. Lids: frames with the eyes less than 0.6 as open as usual, from the
frame with the widest. Where a network may change the picture, and the true one elsewhere: PSNR,
GMSD, gradient energy and flicker relative to the real clip, of the warp alone and with the network.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render.cavity import View
from mdth.embedded.render.conditions import cut_out, shown
from mdth.embedded.render.eyes import EyePainter
from mdth.embedded.render.light import measure_light
from mdth.embedded.render.motion import rigid_motion
from mdth.embedded.render.skin import CHANNELS, Area, Skin, changed, shipped
from mdth.embedded.render.tone import Tone
from mdth.embedded.render.warp import Warp
from mdth.face import geometry
from mdth.files import networks
from training import command
from training import image_metrics as metrics
from training.mouth_bank import Pictures, bring, lids_apart
from training.mouth_data import talk_clips
from training.mouth_measure import median_ms
from training.skin_bank import AREAS
from training.talk import load
from training.tracks import read_pictures

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger("mdth")

# Eyes are measured below this share of how far they are usually open; of a clip so many frames.
SHUT, MOST = 0.6, 400
# Cut-outs are compared in twice the network's size: this takes its px to theirs.
FINER = np.array([[2, 0, 0.5], [0, 2, 0.5]])
WAYS = ("real", "warped", "painted")
Shown = tuple[dict[str, FloatArray], FloatArray]


class Source:
    """A portrait under another's mesh, the areas of one network without it and with it."""

    def __init__(
        self, portrait: Portrait, name: str, network: "onnxruntime.InferenceSession"
    ) -> None:
        self._portrait, self._network = portrait, network
        self._rest = np.asarray(portrait.mesh, float)
        self._warp = Warp(portrait)
        self._eyes = EyePainter(portrait.image, self._rest) if name == "lids" else None
        tone = Tone.of(measure_light(portrait.image, self._rest).skin)
        self._skins = [Skin(area, self._rest, tone) for area in AREAS[name]]

    def show(self, true: Portrait) -> Iterator[Shown]:
        """Of each area the cut-outs [h,w,3] of WAYS, and where it counts [h,w]."""
        mesh, matrix = bring(true, self._portrait)
        rigid = rigid_motion(self._rest, mesh)
        frame = self._warp.apply(self._warp.field(mesh, rigid), mesh)
        if self._eyes:
            self._eyes.paint(frame, mesh, rigid)
        for skin in self._skins:
            seen = skin.look(mesh, rigid)
            skin.fill(seen, frame)
            size = 2 * seen.view.size[0], 2 * seen.view.size[1]
            view = View(View(FINER, size).of(seen.view.matrix), size)
            real = cut_out(true.image, View(view.of(matrix), size))
            warped = cut_out(frame, view)
            change = changed(self._network, seen, skin)
            painted = warped + shown(change, FINER, size, kind=cv2.INTER_LINEAR)
            where = shown(seen.planes[3], FINER, size, kind=cv2.INTER_LINEAR)
            mixed = (
                np.clip(real + where[..., None] * (w - real), 0, 255) for w in (warped, painted)
            )
            yield dict(zip(WAYS, (real, *mixed), strict=True)), where


class Tally:
    """Sums of one set."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)

    def clip(self, source: Source, frames: Iterable[Portrait | None]) -> None:
        """The frames of one clip, None where one does not count."""
        before: list[Shown] = []
        for true in frames:
            now = list(source.show(true)) if true else []
            for number, (ways, where) in enumerate(now):
                if (where > 0.5).any():
                    self._add(ways, where, before[number] if before else None)
            before = now

    def _add(self, ways: dict[str, FloatArray], where: FloatArray, before: Shown | None) -> None:
        for way in WAYS:
            self._values[f"psnr {way}"].append(metrics.psnr(ways[way], ways["real"], where))
            self._values[f"gmsd {way}"].append(metrics.gmsd(ways[way], ways["real"]))
            self._values[f"energy {way}"].append(metrics.gradient_energy(ways[way], where))
            both = np.minimum(where, before[1]) > 0.5 if before else np.zeros(1, bool)
            if before and both.any():
                change = np.abs(ways[way] - before[0][way])[both].mean()
                self._values[f"flicker {way}"].append(float(change))

    def figures(self) -> dict[str, float]:
        """The set's figures."""
        found: dict[str, float] = {"cut-outs": len(self._values["psnr real"])}
        for name in ("psnr", "gmsd", "energy", "flicker"):
            for way in WAYS[1:] if self._values[f"{name} real"] else ():
                value = float(np.mean(self._values[f"{name} {way}"]))
                if name in ("energy", "flicker"):
                    value /= float(np.mean(self._values[f"{name} real"]))
                found[f"{name} {way}"] = round(value, 4)
        return found


def measure(
    clips: list[tuple[Path, Path]], name: str, network: "onnxruntime.InferenceSession"
) -> Tally:
    """Clips with their tracks."""
    tally = Tally()
    for clip, track in clips:
        mesh = load(track).mesh[:MOST].astype(float)
        first = int((geometry.lip_opening(mesh) / geometry.eye_distance(mesh)).argmin())
        wanted = np.arange(len(mesh)) % 8 < 2
        if name == "lids":
            eyes = lids_apart(mesh)
            first, wanted = int(eyes.argmax()), eyes < SHUT * np.percentile(eyes, 90)
        if wanted.any():
            pictures = list(read_pictures(clip)[1])[: len(mesh)]
            frames = zip(pictures, mesh, wanted, strict=True)
            source = Source(Portrait(pictures[first], mesh[first]), name, network)
            tally.clip(source, (Portrait(p, m) if w else None for p, m, w in frames))
    return tally


def measure_london(pictures: Pictures, network: "onnxruntime.InferenceSession") -> Tally:
    """Kept-out people, each of both expressions from the other."""
    tally = Tally()
    for person in sorted(set(pictures.person[pictures.part == "london_test"])):
        stills = [pictures.portrait(int(i)) for i in np.flatnonzero(pictures.person == person)]
        for a, b in ((0, 1), (1, 0)) if len(stills) == 2 else ():
            tally.clip(Source(stills[a], "lower_face", network), [stills[b]])
    return tally


def network_ms(network: "onnxruntime.InferenceSession", area: Area) -> float:
    """CPU milliseconds of the network for one cut-out."""
    width, height = area.size
    planes = np.zeros((1, CHANNELS, height, width), np.float32)
    given = {"planes": planes, "ways": np.zeros((1, area.ways), np.float32)}
    return median_ms(lambda: network.run(None, given))


def main() -> None:
    """Print the table."""
    parser = command.parser("training.skin_measure", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("tracks", type=Path, help="talk and others, made by training.talk")
    parser.add_argument("--weights", type=Path, help="folder of NAME.onnx, instead of the shipped")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    files = {"grid/others": command.files_in(args.data / "grid/others", "*.mp4")}
    for use in ("choose", "last"):
        files[use] = [clip for clip, _ in talk_clips(args.data / "talk", use)]
    report: dict[str, dict[str, float]] = {}
    for name in AREAS:
        given = args.weights and networks.session((args.weights / f"{name}.onnx").read_bytes())
        network = given or shipped(name)
        tallies = {}
        if name == "lower_face":
            tallies["london"] = measure_london(Pictures(args.pictures), network)
        for use, clips in files.items():
            tracks = args.tracks / ("others" if use == "grid/others" else "talk")
            pairs = [(clip, tracks / f"{clip.stem}.npz") for clip in clips]
            tallies[use] = measure(pairs, name, network)
        report[f"{name}, ms"] = {"network": network_ms(network, AREAS[name][0])}
        log.info("%s, ms of one core: %s", name, report[f"{name}, ms"])
        for use, tally in tallies.items():
            report[f"{name}, {use}"] = tally.figures()
            log.info("%s, %s: %s", name, use, report[f"{name}, {use}"])
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    command.run(main)
