"""Measure the painted mouth against real ones.

    python -m mdth.train.mouth_measure ../shared/data work/mouth out/mouth/mouth.onnx

Sets: the five people of `grid/others` and the last tenth of the `grid/s1` clips (portrait: the
frame with the lips nearest; true: every frame with parted lips), and the London people kept out of
training (portrait: neutral; true: smiling). Inside the lips, with the true picture outside them:
PSNR, SSIM, GMSD of the painted mouth and of two baselines: the drawn cavity, and the source's own
mouth as the warp stretches it. Then gradient energy and flicker relative to the real clip.
LPIPS is not measured: its backbones ship in no package.
"""

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth import assets, networks
from mdth.artefacts import Portrait
from mdth.bfv2v.cavity import Cavity, View
from mdth.bfv2v.motion import rigid_motion
from mdth.bfv2v.warp import Warp
from mdth.face import geometry
from mdth.face.tracker import FaceTracker
from mdth.train import image_metrics as metrics
from mdth.train import mouth_conditions as conditions
from mdth.train.mouth_bank import MIN_OPENING, Pictures, bring
from mdth.train.tracks import read_pictures

log = logging.getLogger("mdth")

FloatArray = npt.NDArray[np.floating]
SIZE = conditions.SIZES[0]
WAYS = ("painted", "drawn", "copied")
TITLES = ("set", "mouth", "PSNR", "SSIM", "GMSD", "energy", "flick")
# Cut-outs of the real mouth and each way, and the inside of the lips.
Shown = tuple[dict[str, FloatArray], FloatArray]


class MouthNetwork:
    """A trained mouth network on one CPU thread."""

    def __init__(self, path: Path) -> None:
        self._session = networks.session(path.read_bytes())

    def paint(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Conditions [15,h,w] (see `mouth_conditions`) -> colours RGB float32 0..255 [h,w,3]."""
        (inside,) = self._session.run(None, {"conditions": planes[None]})
        return np.asarray((inside[0].transpose(1, 2, 0) + 1) * 127.5, np.float32)


class Source:
    """A portrait whose mouth is painted in the three ways."""

    def __init__(self, portrait: Portrait, network: MouthNetwork) -> None:
        self._portrait = portrait
        self._cavity = Cavity(portrait)
        self._warp = Warp(portrait)
        self._network = network

    def show(self, true: Portrait) -> Shown:
        """Cut-outs [h,w,3] of the true mouth and of each way, and the inside of the lips [h,w]."""
        mesh, matrix = bring(true, self._portrait)
        rigid = rigid_motion(np.asarray(self._portrait.mesh, np.float64), mesh)
        bones = self._cavity.bones(mesh, rigid)
        seen = conditions.look(self._cavity, bones, mesh, SIZE)
        warped = self._warp.apply(self._warp.field(mesh, rigid), mesh)
        around = conditions.cut_out(warped, seen.view)
        planes = conditions.conditions(self._cavity, bones, seen, around)
        real = conditions.cut_out(true.image, View(seen.view.of(matrix), SIZE))
        inside = seen.filled.inside
        ways = {"painted": self._network.paint(planes), "drawn": seen.drawn, "copied": around}
        mixed = {
            name: np.clip(real + inside[..., None] * (way - real), 0, 255)
            for name, way in ways.items()
        }
        return {"real": real, **mixed}, inside


class Tally:
    """Sums of one set."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, shown: dict[str, FloatArray], inside: FloatArray) -> None:
        """One frame."""
        real = shown["real"]
        for way in WAYS:
            self.values[f"psnr {way}"].append(metrics.psnr(shown[way], real, inside))
            self.values[f"ssim {way}"].append(metrics.ssim(shown[way], real, inside))
            self.values[f"gmsd {way}"].append(metrics.gmsd(shown[way], real))
            self.values[f"energy {way}"].append(metrics.gradient_energy(shown[way], inside))
        self.values["energy real"].append(metrics.gradient_energy(real, inside))

    def add_change(self, before: Shown, now: Shown) -> None:
        """Two frames that follow each other; the cut-outs move with the mouth."""
        both = (before[1] > 0.5) & (now[1] > 0.5)
        if both.sum() > 20:
            for way in ("real", *WAYS):
                change = np.abs(now[0][way] - before[0][way])[both].mean()
                self.values[f"change {way}"].append(float(change))

    def row(self, way: str) -> str:
        """The set's figures of one way."""
        mean = {name: float(np.mean(v)) for name, v in self.values.items()}
        total = {name: float(np.sum(v)) for name, v in self.values.items()}
        energy = total[f"energy {way}"] / total["energy real"]
        flicker = ""
        if "change real" in mean:
            flicker = f"{mean[f'change {way}'] / mean['change real']:6.2f}"
        return (
            f"{mean[f'psnr {way}']:6.2f} {mean[f'ssim {way}']:6.3f} {mean[f'gmsd {way}']:7.4f}"
            f" {energy:7.2f} {flicker}"
        )


def parted(portrait: Portrait) -> bool:
    """Whether the lips are apart far enough to look inside."""
    gap = geometry.lip_opening(portrait.mesh) / geometry.eye_distance(portrait.mesh)
    return bool(gap > MIN_OPENING)


def clip_portraits(clip: Path, model: Path) -> list[Portrait]:
    """The tracked frames of a clip in which a face is found."""
    fps, pictures = read_pictures(clip)
    portraits = []
    with FaceTracker(model, video=True, fps=fps) as tracker:
        for picture in pictures:
            faces = tracker.faces(picture)
            if faces:
                portraits.append(Portrait(picture, faces[0].astype(np.float64)))
    return portraits


def measure_clips(clips: list[Path], network: MouthNetwork) -> Tally:
    """All frames with parted lips of some clips."""
    model = assets.path("face_landmarker.task")
    tally = Tally()
    for clip in clips:
        portraits = clip_portraits(clip, model)
        if not portraits:
            continue
        first = min(portraits, key=lambda p: float(geometry.lip_opening(p.mesh)))
        source = Source(first, network)
        before = None
        for portrait in portraits:
            now = source.show(portrait) if parted(portrait) else None
            if now:
                tally.add(*now)
                if before:
                    tally.add_change(before, now)
            before = now
    return tally


def measure_london(pictures: Pictures, network: MouthNetwork) -> Tally:
    """The people kept out of training: smiling, from the neutral still."""
    tally = Tally()
    for true, source in _smiles(pictures):
        tally.add(*Source(source, network).show(true))
    return tally


def _smiles(pictures: Pictures) -> Iterator[tuple[Portrait, Portrait]]:
    for person in sorted(set(pictures.person[pictures.part == "london_test"])):
        stills = [pictures.portrait(int(i)) for i in np.flatnonzero(pictures.person == person)]
        stills.sort(key=lambda p: float(geometry.lip_opening(p.mesh)))
        if len(stills) == 2 and parted(stills[1]):
            yield stills[1], stills[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with grid/others and grid/s1")
    parser.add_argument("pictures", type=Path, help="made by mdth.train.mouth_data")
    parser.add_argument("network", type=Path, help="mouth.onnx, made by mdth.train.mouth")
    parser.add_argument("--every", type=int, default=4, help="take each so many-th s1 clip")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    network = MouthNetwork(args.network)
    clips = sorted((args.data / "grid" / "s1").glob("*.mp4"))
    sets = {
        "grid/others": measure_clips(
            sorted((args.data / "grid" / "others").glob("*.mp4")), network
        ),
        "grid/s1, held out": measure_clips(clips[-(len(clips) // 10) :: args.every], network),
        "london, held out": measure_london(Pictures(args.pictures), network),
    }
    log.info(
        "%-18s %-8s %6s %6s %7s %7s %6s", "set", "mouth", "PSNR", "SSIM", "GMSD", "energy", "flick"
    )
    for name, tally in sets.items():
        for way in WAYS:
            log.info("%-18s %-8s %s", name, way, tally.row(way))
        log.info("%-18s %d frames", "", len(tally.values["energy real"]))


if __name__ == "__main__":
    main()
