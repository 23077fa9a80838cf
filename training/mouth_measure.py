"""Measure the painted mouth against real ones.

    python -m training.mouth_measure data work/mouth work out/mouth/mouth.onnx

Sets: the five people of `grid/others`, the last tenth of the `grid/s1` clips and the clips of
`talk` for choosing and for the last table (portrait: the frame with the lips nearest; true: every
frame with parted lips), and the London people kept out of training (portrait: neutral; true:
smiling). Inside the lips, with the true picture outside them: PSNR, SSIM, GMSD of the painted
mouth, laid in as the renderer does, and of two baselines: the drawn cavity, and the source's own
mouth as the warp stretches it. Around the lips PSNR of the face. Then gradient energy and flicker
relative to the real clip, and how much of the lower half of wider open mouths is as bright as
teeth, in the real clip and here. Without a network the drawing is measured alone. LPIPS is not: no
backbone of it was at hand.
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render import conditions
from mdth.embedded.render.cavity import Cavity, View
from mdth.embedded.render.lips import lay, lip_outline
from mdth.embedded.render.mouth import LIP_LINE, fill
from mdth.embedded.render.mouth_network import MouthNetwork
from mdth.face import geometry
from mdth.files import networks
from training import command, mouth_bank
from training import image_metrics as metrics
from training.mouth_bank import MIN_OPENING, Pictures, bring
from training.mouth_data import talk_clips
from training.talk import load
from training.tracks import read_pictures

log = logging.getLogger("mdth")
SIZE = conditions.SIZES[0]
WAYS = ("painted", "drawn", "copied")
RUNS = 40
TITLES = ("set", "mouth", "PSNR", "SSIM", "GMSD", "rim", "energy", "bright", "real", "flick")
# Of each clip of `talk` so many frames, and the opening from which brightness is counted, eye
# distances.
MOST, OPEN = 100, 0.06


class Shown(NamedTuple):
    """Cut-outs [h,w,3] of the real mouth and each way, the inside of the lips [h,w].

    rims: PSNR around the lips, where a network changes the face. bright: of the lower half of an
    open mouth, the share that is as bright as teeth. Both by way.
    """

    ways: dict[str, FloatArray]
    inside: FloatArray
    rims: dict[str, float]
    bright: dict[str, float]


def lower_half(inside: FloatArray) -> npt.NDArray[np.bool_]:
    """Of the inside of the lips [h,w] what is nearer to the lower lip, column by column."""
    seen = inside > 0.9
    passed = np.cumsum(seen, 0)
    return np.asarray(seen & (passed > passed[-1:] / 2))


class Source:
    """A portrait whose mouth is painted in the three ways."""

    def __init__(self, portrait: Portrait, network: MouthNetwork | None) -> None:
        self._portrait = portrait
        self._source = mouth_bank.Source(portrait)
        self._cavity = Cavity(portrait, show_own=False)
        self._network = network

    def show(self, true: Portrait) -> Shown:
        """Cut-outs [h,w,3] of the true mouth and of each way, and the inside of the lips [h,w]."""
        mesh, matrix = bring(true, self._portrait)
        seen = self._source.under(mesh, SIZE)
        laid = self._laid(mesh, seen)
        real = conditions.cut_out(true.image, View(seen.view.view.of(matrix), SIZE))
        inside = seen.view.inside
        painted, rim = seen.view.drawn, seen.around
        if self._network:
            painted = self._network.paint(seen.planes, seen.tone)
            rim = rim + conditions.rim_change(seen.planes, painted, seen.tone).transpose(1, 2, 0)
        ways = {"painted": laid(painted), "drawn": laid(seen.view.drawn), "copied": seen.around}
        mixed = {
            name: np.clip(real + inside[..., None] * (way - real), 0, 255)
            for name, way in ways.items()
        }
        shown = {"real": real, **mixed}
        gap = float(geometry.lip_opening(mesh)) / self._cavity.eye_distance
        lower = lower_half(inside) & (gap > OPEN)
        bright = {}
        if lower.any():
            alike = self._cavity.light.toothlike
            bright = {name: float(alike(way[lower]).mean()) for name, way in shown.items()}
        near = conditions.rim(inside)
        rims = {way: metrics.psnr(seen.around, real, near) for way in WAYS}
        rims["painted"] = metrics.psnr(rim, real, near)
        return Shown(shown, inside, rims, bright)

    def _laid(self, mesh: FloatArray, seen: mouth_bank.Seen) -> Callable[[FloatArray], FloatArray]:
        """How the renderer lays colours into the warped face: narrow lips show their line."""
        view = seen.view.view
        outline = lip_outline(mesh) @ view.matrix[:, :2].T + view.matrix[:, 2]
        unit = SIZE[0] / conditions.WIDTH
        filled = fill(outline, SIZE, unit, self._cavity.seam)
        line = LIP_LINE * self._cavity.light.flesh

        def laid(colours: FloatArray) -> FloatArray:
            part = np.clip(seen.around, 0, 255).astype(np.uint8)
            lay(part, colours.transpose(1, 2, 0), filled, line, self._cavity.seam)
            return part.astype(float)

        return laid


class Tally:
    """Sums of one set."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, seen: Shown) -> None:
        """One frame."""
        shown, inside = seen.ways, seen.inside
        real = shown["real"]
        for name, share in seen.bright.items():
            self.values[f"bright {name}"].append(share)
        for way in WAYS:
            self.values[f"psnr {way}"].append(metrics.psnr(shown[way], real, inside))
            self.values[f"ssim {way}"].append(metrics.ssim(shown[way], real, inside))
            self.values[f"gmsd {way}"].append(metrics.gmsd(shown[way], real))
            self.values[f"rim {way}"].append(seen.rims[way])
            self.values[f"energy {way}"].append(metrics.gradient_energy(shown[way], inside))
        self.values["energy real"].append(metrics.gradient_energy(real, inside))

    def add_change(self, before: Shown, now: Shown) -> None:
        """Two frames that follow each other; the cut-outs move with the mouth."""
        both = (before.inside > 0.5) & (now.inside > 0.5)
        if both.sum() > 20:
            for way in ("real", *WAYS):
                change = np.abs(now.ways[way] - before.ways[way])[both].mean()
                self.values[f"change {way}"].append(float(change))

    def figures(self, way: str) -> dict[str, float]:
        """The set's figures of one way."""
        mean = {name: float(np.mean(v)) for name, v in self.values.items()}
        total = {name: float(np.sum(v)) for name, v in self.values.items()}
        figures = {name: mean[f"{name} {way}"] for name in ("psnr", "ssim", "gmsd", "rim")}
        figures["energy"] = total[f"energy {way}"] / total["energy real"]
        if "bright real" in mean:
            figures["bright"] = mean[f"bright {way}"]
            figures["bright, real"] = mean["bright real"]
        if "change real" in mean:
            figures["flicker"] = mean[f"change {way}"] / mean["change real"]
        return {name: round(value, 4) for name, value in figures.items()}

    @property
    def frames(self) -> int:
        """How many were measured."""
        return len(self.values["energy real"])


def parted(portrait: Portrait) -> bool:
    """Whether the lips are apart far enough to look inside."""
    gap = geometry.lip_opening(portrait.mesh) / geometry.eye_distance(portrait.mesh)
    return bool(gap > MIN_OPENING)


def measure_clips(clips: list[Path], network: MouthNetwork | None, tracks: Path) -> Tally:
    """All frames with parted lips of those clips that `training.talk` has tracked."""
    tally = Tally()
    for clip in clips:
        track = tracks / f"{clip.stem}.npz"
        if not track.is_file():
            continue
        meshes = load(track).mesh[:MOST].astype(float)
        portraits = [Portrait(*s) for s in zip(read_pictures(clip)[1], meshes, strict=False)]
        first = min(portraits, key=lambda p: float(geometry.lip_opening(p.mesh)))
        source = Source(first, network)
        before = None
        for portrait in portraits:
            now = source.show(portrait) if parted(portrait) else None
            if now:
                tally.add(now)
                if before:
                    tally.add_change(before, now)
            before = now
    return tally


def measure_london(pictures: Pictures, network: MouthNetwork | None) -> Tally:
    """The people kept out of training: smiling, from the neutral still."""
    tally = Tally()
    for true, source in _smiles(pictures):
        tally.add(Source(source, network).show(true))
    return tally


def network_ms(network: MouthNetwork) -> dict[str, float]:
    """CPU milliseconds of the network for one cut-out of each size, the middle one of RUNS."""
    found = {}
    for width, height in conditions.SIZES:
        planes = np.zeros((conditions.CHANNELS, height, width), np.float32)
        found[f"{width}x{height}"] = median_ms(partial(network.relative, planes))
    return found


def median_ms(job: Callable[[], object]) -> float:
    """CPU milliseconds of a job on one core, the middle one of RUNS."""
    spent = []
    for _ in range(RUNS):
        start = time.thread_time()
        job()
        spent.append(1000 * (time.thread_time() - start))
    return round(float(np.median(spent)), 1)


def _smiles(pictures: Pictures) -> Iterator[tuple[Portrait, Portrait]]:
    for person in sorted(set(pictures.person[pictures.part == "london_test"])):
        stills = [pictures.portrait(int(i)) for i in np.flatnonzero(pictures.person == person)]
        stills.sort(key=lambda p: float(geometry.lip_opening(p.mesh)))
        if len(stills) == 2 and parted(stills[1]):
            yield stills[1], stills[0]


def measure(
    data: Path, network: MouthNetwork | None, pictures: Path | None, tracks: Path, *, every: int = 4
) -> dict[str, dict[str, object]]:
    """Figures of each set, printed as a table; tracks: talk, grid, others of `training.talk`."""
    clips = command.files_in(data / "grid/s1", "*.mp4")
    others = command.files_in(data / "grid/others", "*.mp4")
    held = clips[-(len(clips) // 10) :: every]
    sets = {
        "grid/others": measure_clips(others, network, tracks / "others"),
        "grid/s1, held out": measure_clips(held, network, tracks / "grid"),
    }
    if pictures:
        sets["london, held out"] = measure_london(Pictures(pictures), network)
    for use in ("choose", "last"):
        clips = [clip for clip, _ in talk_clips(data / "talk", use)]
        sets[f"talk, {use}"] = measure_clips(clips, network, tracks / "talk")
    log.info(("%-18s %-8s" + 8 * " %7s"), *TITLES)
    report: dict[str, dict[str, object]] = {}
    for name, tally in sets.items():
        report[name] = {way: tally.figures(way) for way in WAYS}
        report[name]["frames"] = tally.frames
        for way in WAYS:
            figures = tally.figures(way)
            log.info("%-18s %-8s%s", name, way, "".join(f" {v:7.3f}" for v in figures.values()))
        log.info("%-18s %d frames", "", tally.frames)
    if network:
        report["network, ms"] = dict(network_ms(network))
        log.info("network, ms of one core: %s", report["network, ms"])
    return report


def main() -> None:
    """Print the table."""
    parser = command.parser("training.mouth_measure", __doc__)
    parser.add_argument("data", type=Path, help="folder with grid/others and grid/s1")
    parser.add_argument("pictures", type=Path, help="made by training.mouth_data")
    parser.add_argument("tracks", type=Path, help="talk, grid and others, made by training.talk")
    parser.add_argument("network", type=Path, nargs="?", help="made by training.mouth")
    parser.add_argument("--every", type=int, default=4, help="take each so many-th s1 clip")
    parser.add_argument("--json", type=Path, help="write the figures there, for the model card")
    args = parser.parse_args()
    network = MouthNetwork(networks.session(args.network.read_bytes())) if args.network else None
    report = measure(args.data, network, args.pictures, args.tracks, every=args.every)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    command.run(main)
