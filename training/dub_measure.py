"""How good a dubbed clip is: real clips with their own sound, with another's, and with silence.

    python -m training.dub_measure data/grid/others data/talk/clips --json out/dub.json
    python -m training.dub_measure data/grid/others --sheet out/dub --frames 75

Of `data/talk` the clips `choose` and `last` alone, whose people no network has seen. Each says its
own sound: PSNR, SSIM and GMSD of the mouth's region against the real frames, beside the first frame
held and the mouth of the clip's calmest frame pasted into each (Pérez et al. 2003), compared where
both the dubbed and the pasted frame differ from the real one, and how far the face is from the real
one for dlib's network. Then another clip's sound, and silence after it. The opening is that of the
tracked video against the mesh it was to follow. Jitter is the RMS of second differences against the
clip's: inside the mouth in the face frame; outside it as tracked, where the mouth moves the
tracker's other points too; and of the pixels beyond the patch (Lucas and Kanade 1981) in the file
that is written, against one without patches. Seam is the gradient where the patch ends, relative to
the original's.
"""

import json
import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.closed_loop import best_lag, correlation, opening
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame
from mdth.embedded.clip.avatar import ClipAvatar, prepare_clip
from mdth.embedded.clip.dubbing import Dubbed, pasted
from mdth.embedded.engine import Embedded
from mdth.errors import NoFaceFound
from mdth.face import geometry, topology
from mdth.face.follow import Why
from mdth.face.tracker import FaceTracker
from mdth.media.audio import read_blocks
from mdth.media.film import open_film
from mdth.media.film_writer import FilmWriter
from mdth.options import Options
from training import command, image_metrics, talk
from training.identity import Recogniser

log = logging.getLogger("mdth")

# Lips that are nearer than this to each other are shut, eye distances; a mouth may take so long.
SHUT, SETTLED_S = 0.06, 0.7
SILENCE_S = 2.5
# Room around the lips that is compared, of their width.
ROOM = 0.35
LIPS = [61, 291, 0, 17]
STILL = topology.UPPER_FACE
SPOKEN = [*topology.LIPS_INNER, *topology.LIPS_OUTER, 152, 175, 199]
IDENTITY_EVERY = 10
# Half the window in which a point's way is sought, and how far from a patch it has to be.
WINDOW, ROOM_PX = 5, 8


def sound_of(clip: Path) -> FloatArray:
    """All of its sound, float32 [N], 16 kHz."""
    return np.concatenate(list(read_blocks(clip)))


def dubbed(avatar: ClipAvatar, sound: FloatArray, most: int) -> tuple[list[Dubbed], FloatArray]:
    """The first frames of a clip that says a sound, and the meshes they follow, NaN for none."""
    dubbing = Embedded().dub(avatar, Options.of(fit="cut"))
    meshes: list[FloatArray] = []
    work = dubbing.work

    def noted(number: int, way: FloatArray) -> object:
        done = work(number, way)
        meshes.append(np.full((478, 3), np.nan) if done is None else done.wanted)
        return done

    dubbing.work = noted  # type: ignore[method-assign,assignment]
    frames = list(
        islice((one for part in (dubbing.feed(sound), dubbing.finish()) for one in part), most)
    )
    return frames, np.stack(meshes[: len(frames)])


def tracked(pictures: Iterable[Frame]) -> FloatArray:
    """Meshes [T,478,3] px of pictures, each by itself; NaN where there is no face."""
    nothing = np.full((478, 3), np.nan, np.float32)
    with FaceTracker() as tracker:
        found = (tracker.faces(picture) for picture in pictures)
        return np.stack([max(faces, key=np.ptp, default=nothing) for faces in found])


def mouth_of(picture: Frame, mesh: FloatArray) -> FloatArray:
    """The region of the mouth of a real frame's mesh, in this picture, float."""
    places = mesh[LIPS, :2]
    room = ROOM * float(np.ptp(places[:, 0]))
    low = np.maximum(places.min(0) - room, 0).astype(int)
    high = (places.max(0) + room).astype(int)
    return picture[low[1] : high[1], low[0] : high[0]].astype(float)


def held_mouth(still: Frame, there: FloatArray, frame: Frame, mesh: FloatArray) -> Frame:
    """A frame with the mouth of a still one pasted in."""
    points = [*topology.RIGID]
    matrix, _ = cv2.estimateAffinePartial2D(there[points, :2], mesh[points, :2])
    moved = cv2.warpAffine(still, matrix, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    places = cv2.transform(there[None, topology.LIPS_OUTER, :2], matrix)[0]
    middle = places.mean(0)
    mask = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillConvexPoly(
        mask, cv2.convexHull(np.round(middle + 1.4 * (places - middle)).astype(int)), 255
    )
    x, y, width, height = cv2.boundingRect(mask)
    centre = (x + width // 2, y + height // 2)
    return np.asarray(cv2.seamlessClone(moved, frame, mask, centre, cv2.NORMAL_CLONE), np.uint8)


def jitter(meshes: FloatArray) -> float:
    """RMS of second differences of points [T,V,3], x and y."""
    return float(np.sqrt(np.nanmean(np.square(np.diff(meshes[..., :2], n=2, axis=0)))))


def pixels_jitter(pictures: Iterable[Frame], places: FloatArray) -> float:
    """How much the way of what is at places [T,N,2] px changes from frame to frame, px.

    The median: on plain skin some ways are found wrong.
    """
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    at, size = np.ascontiguousarray(places, np.float32), (2 * WINDOW + 1, 2 * WINDOW + 1)
    ways = [
        np.asarray(cv2.calcOpticalFlowPyrLK(a, b, here, here.copy(), winSize=size)[0]) - here
        for a, b, here in zip(greys, greys[1:], at, strict=False)
    ]
    return float(np.median(np.linalg.norm(np.diff(ways, axis=0), axis=-1)))


def outside_jitter(clip: Path, frames: list[Dubbed], meshes: FloatArray) -> float:
    """Of the mesh's points beyond all patches, in the file against one written without them."""
    room = np.ones((2 * ROOM_PX + 1, 2 * ROOM_PX + 1), np.uint8)
    free = np.ones(meshes.shape[1], bool)
    for one, mesh in zip(frames, meshes, strict=True):
        near = cv2.dilate((alpha_of(one) > 0).astype(np.uint8), room)
        x, y = np.round(mesh[:, :2]).astype(int).T
        free &= near[np.clip(y, 0, len(near) - 1), np.clip(x, 0, near.shape[1] - 1)] == 0
    amounts = []
    for patched in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "a.mp4")
            with FilmWriter(out, like=open_film(clip), sound=None) as writer:
                for one in frames:
                    writer.write(one.frame, one.patch if patched else None)
            written = [frame.rgb for frame in open_film(out).frames()]
        amounts.append(pixels_jitter(written, meshes[:, free, :2]))
    return amounts[0] / amounts[1]


def alpha_of(one: Dubbed) -> FloatArray:
    """How much of a frame its patch covers [H,W]."""
    alpha = np.zeros(one.frame.rgb.shape[:2], np.float32)
    if one.patch is not None:
        height, width = one.patch.alpha.shape
        x, y = one.patch.x, one.patch.y
        alpha[y : y + height, x : x + width] = one.patch.alpha
    return alpha


def seam(frames: Iterable[Dubbed]) -> float:
    """Gradient where patches end, relative to the originals'."""
    sums = np.zeros(2)
    for one in frames:
        if one.patch is None:
            continue
        patch, (height, width) = one.patch, one.patch.alpha.shape
        edge = (patch.alpha > 0) & (patch.alpha < 1)
        for at, picture in enumerate((pasted(one), one.frame.rgb)):
            part = picture[patch.y : patch.y + height, patch.x : patch.x + width].mean(-1)
            across, along = np.gradient(part)
            sums[at] += np.hypot(across, along)[edge].sum()
    return float(sums[0] / max(sums[1], 1e-9))


def likeness(frames: list[Dubbed], meshes: FloatArray, who: Recogniser | None) -> dict[str, float]:
    """Against the real frames, with the two baselines; meshes: of the real frames."""
    scores = defaultdict(list)
    shut = int(np.nanargmin(opening(meshes)))
    for number, one in enumerate(frames):
        real, mesh = one.frame.rgb, meshes[number]
        true = mouth_of(real, mesh)
        ways = {
            "dubbed": pasted(one),
            "held": frames[0].frame.rgb,
            "pasted": held_mouth(frames[shut].frame.rgb, meshes[shut], real, mesh),
        }
        differs = (alpha_of(one) > 0) & (ways["pasted"] != real).any(-1)
        both = mouth_of(differs[..., None], mesh)
        if not both.any():
            continue
        for way, picture in ways.items():
            shown = true + both * (mouth_of(picture, mesh) - true)
            scores[f"psnr {way}"].append(image_metrics.psnr(shown, true, both[..., 0]))
            scores[f"ssim {way}"].append(image_metrics.ssim(shown, true, both[..., 0]))
            scores[f"gmsd {way}"].append(image_metrics.gmsd(shown, true))
        if who and number % IDENTITY_EVERY == 0:
            a, b = (who.vector(picture, mesh) for picture in (ways["dubbed"], real))
            scores["identity"].append(float(np.linalg.norm(a - b)))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def followed(frames: list[Dubbed], meshes: FloatArray) -> tuple[float, int, FloatArray]:
    """Correlation at lag 0 and best lag of the tracked opening with the mesh's, and the track."""
    seen = tracked(map(pasted, frames))
    both = np.isfinite(seen[:, 0, 0]) & np.isfinite(meshes[:, 0, 0])
    said, told = opening(seen[both]), opening(meshes[both])
    return correlation(said, told), best_lag(said, told)[0], seen


def measure(clip: Path, other: FloatArray, most: int, who: Recogniser | None) -> dict[str, float]:
    """All figures of one clip. Raises NoFaceFound."""
    avatar = prepare_clip(clip, Options().portrait)
    own, driving = dubbed(avatar, sound_of(clip), most)
    real = np.array(avatar.person.mesh[: len(own)], np.float64)
    good = (avatar.person.why[: len(own)] == Why.USABLE) & np.isfinite(real[:, 0, 0])
    own = [one for one, usable in zip(own, good, strict=True) if usable]
    real, driving = real[good], driving[good]
    figures = likeness(own, real, who)
    figures["own r"], figures["own lag"], seen = followed(own, driving)
    figures["jitter pixels"] = outside_jitter(clip, own, real)
    figures["jitter outside"] = jitter(seen[:, STILL]) / jitter(real[:, STILL])
    faces = (geometry.to_face(meshes, geometry.head_pose(meshes)) for meshes in (seen, real))
    inside = [jitter(face[:, SPOKEN]) for face in faces]
    figures["jitter inside"] = inside[0] / inside[1]
    figures["seam"] = seam(own)
    rate = float(Embedded().dub(avatar, Options()).rate)
    spoken = max(1.0, min(len(good) / rate, 6.0) - SILENCE_S)
    sound = other[: round(spoken * SPEECH_RATE_HZ)]
    sound = np.pad(sound, (0, round(SILENCE_S * SPEECH_RATE_HZ)))
    frames, driving = dubbed(avatar, sound, most)
    said = round(spoken * rate)
    figures["other r"], figures["other lag"], _ = followed(frames[:said], driving[:said])
    quiet = tracked(map(pasted, frames[said + round(SETTLED_S * rate) :]))
    figures["shut in silence"] = float(np.nanmean(opening(quiet) < SHUT))
    figures["open as it was"] = float((opening(real) > SHUT).mean())
    return figures


def clips_in(folders: Iterable[Path]) -> Iterator[Path]:
    """Clips given, those of folders, and of one that has a table beside it who may be measured."""
    for path in folders:
        if path.is_dir() and (path.parent / "clips.tsv").is_file():
            yield from (path / row["file"] for row in talk.rows(path.parent, "choose", "last"))
        else:
            yield from [path] if path.is_file() else command.files_in(path, "*.mp4")


def sheet(clip: Path, other: FloatArray, start: int) -> Frame:
    """Eight frames, 100 ms apart, above the same with another's sound."""
    avatar = prepare_clip(clip, Options().portrait)
    frames, _ = dubbed(avatar, other, start + 40)
    rows: list[list[Frame]] = [[], []]
    for number in range(start, start + 8 * 3, 3):
        mesh = avatar.person.mesh[number][:, :2]
        middle, half = mesh.mean(0), 0.7 * float(np.ptp(mesh, axis=0).max())
        low, high = np.maximum(middle - half, 0).astype(int), (middle + half).astype(int)
        for row, picture in zip(
            rows, (frames[number].frame.rgb, pasted(frames[number])), strict=True
        ):
            part = picture[low[1] : high[1], low[0] : high[0]]
            row.append(np.asarray(cv2.resize(part, (384, 384), interpolation=cv2.INTER_CUBIC)))
    return np.vstack([np.hstack(row) for row in rows])


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.dub_measure", __doc__)
    parser.add_argument("clips", type=Path, nargs="+", help="clips, or folders of them")
    parser.add_argument("--frames", type=int, default=150, help="at most so many of each")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--sheet", type=Path, help="write pictures to look at into that folder")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    clips = list(clips_in(args.clips))
    rows: dict[str, dict[str, float]] = {}
    recogniser = Recogniser.found()
    for number, clip in enumerate(clips):
        other = sound_of(clips[number - 1])
        if args.sheet:
            args.sheet.mkdir(parents=True, exist_ok=True)
            picture = sheet(clip, other, 24)
            cv2.imwrite(str(args.sheet / f"{clip.stem}.png"), picture[..., ::-1])
            continue
        try:
            rows[clip.name] = measure(clip, other, args.frames, recogniser)
        except NoFaceFound as error:
            log.warning("%s", error)
            continue
        log.info("%s %s", clip.name, {k: round(v, 3) for k, v in rows[clip.name].items()})
    for name in next(iter(rows.values()), {}):
        values = np.array([row[name] for row in rows.values()])
        ends = values.mean(), values.min(), values.max()
        log.info("%-16s mean %8.3f  least %8.3f  most %8.3f", name, *ends)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    command.run(main)
