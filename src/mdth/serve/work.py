"""What a worker process does with one job, and the quick look at what was sent."""

import logging
import os
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from mdth import engines, errors, pipeline
from mdth.artefacts import SPEECH_RATE_HZ, Frame
from mdth.batch.worker import leave
from mdth.engine import Avatar
from mdth.errors import InputError, MdthError, StorageError, in_words
from mdth.files.json import read_json, write_json
from mdth.media.audio import read_blocks
from mdth.media.image import is_picture, read_image
from mdth.media.meant import is_clip
from mdth.media.speech import check_length, limited
from mdth.media.video import probe_video, read_frames
from mdth.options import Options
from mdth.serve import credentials
from mdth.serve.queue import Job, Queue
from mdth.speak.voice import spoken, write

log = logging.getLogger("mdth")

# In a claim's folder: what is to be done, how far it is.
JOB, PROGRESS = "job.json", "progress.json"
VIDEO = "video.mp4"
BEAT_S = 1.0
THUMBNAIL_PX, FACES_PX, PREVIEW_PX = 320, 640, 960
# Of the progress, where a clip is followed before it speaks.
PREPARING = 0.3
# What a clip may take that does not say how long it is.
UNTOLD_S = 3600.0
# Of a clip, what is looked at for faces.
FIRST_FRAMES = 10


def run(ticket: str, *, data: str, here: bool) -> Job:
    """The "result" or "error" of a ticket's order (its id and claim); nothing if it is unwanted.

    here: on the server's machine, by a process of its own. Raises StorageError, after which it may
    be tried again.
    """
    job_id, _, claim = ticket.partition("/")
    folder, place = Path(data) / "jobs" / job_id, Path(data) / "jobs" / ticket
    orphaned = partial(_orphaned, Path(data), job_id, claim) if here else None
    heart = _Heart(place, orphaned)
    try:
        job = read_json(place / JOB)
        return {"result": _DO[job["object"]](job, folder, heart)}
    except _Gone:
        shutil.rmtree(place, ignore_errors=True)
        return {}
    except Exception as error:
        words = in_words(error)
        if isinstance(words, StorageError):
            raise words from error
        log.info("%s: %s", job_id, words)
        return {"error": {"type": type(words).__name__, "detail": str(words)}}


def _orphaned(data: Path, job_id: str, claim: str) -> NoReturn:
    """The server was killed: whoever comes next does the job."""
    Queue(data).hand_back(job_id, claim, counted=False)
    leave()


class _Gone(BaseException):
    """The job is not wanted any more, or another's now. No Exception: nobody wraps it."""


class _Heart:
    """Says how far a job is, and ends it when its order is no longer there."""

    def __init__(self, place: Path, orphaned: Callable[[], NoReturn] | None) -> None:
        """orphaned: what is done when this process has lost its parent."""
        self._place, self._orphaned, self._parent = place, orphaned, os.getppid()
        self._told_s = 0.0
        self.part(0.0, 1.0)

    def part(self, start: float, end: float) -> None:
        """What follows is this part of the whole, of 1."""
        self._begun, self._from, self._to = time.monotonic(), start, end

    def __call__(self, done: int, total: int | None) -> None:
        """How far it is; the progress that the pipeline takes. Raises _Gone."""
        now = time.monotonic()
        if now - self._told_s < BEAT_S:
            return
        self._told_s = now
        if self._orphaned and os.getppid() != self._parent:
            self._orphaned()
        if not (self._place / JOB).exists():
            raise _Gone
        if total:
            share = min(1.0, done / total)
            whole = self._from + share * (self._to - self._from)
            left_s = (now - self._begun) * (1 - share) / max(share, 1e-3)
            told = {"progress": min(99, int(100 * whole)), "left_s": round(left_s, 1)}
            write_json(self._place / PROGRESS, told)


def _avatar(job: Job, folder: Path, heart: _Heart) -> Job:
    """Prepare what was sent: the folder `avatar` and a picture of the face found."""
    avatar = pipeline.prepare(folder / "source", progress=heart, **job["request"]["options"])
    engines.save(avatar, folder / "avatar")
    picture = avatar.portrait.image
    _jpeg(picture, folder / "preview.jpg", PREVIEW_PX)
    kind = "clip" if getattr(avatar, "keeps_clip", False) else "portrait"
    return {"kind": kind, "faces": [_box(avatar.portrait.mesh, picture)]}


def _film(job: Job, folder: Path, heart: _Heart) -> Job:
    """Let an avatar, a picture or a clip speak: the folder of the claim has the mp4."""
    target, options = folder / job["claim"] / VIDEO, job["request"]["options"]
    avatar = _who(job, folder, heart, options)
    say = pipeline.dub if job["object"] == "dub" else pipeline.talk
    with _sound(job["request"], folder, options) as (sound, text):
        record = say(avatar, sound, target, text=text, progress=heart, **options)
    if by := credentials.signer():
        credentials.sign(target, by)
    return {**_told(target), "frames": record["frames"], "seconds": record["seconds"]}


def _who(job: Job, folder: Path, heart: _Heart, options: Job) -> Avatar:
    if job["avatar"]:
        prepared = folder.with_name(job["avatar"]) / "avatar"
        if engines.is_saved(prepared):
            return engines.load(prepared)
        why = job["avatar_error"] or {"type": "", "detail": "it was cancelled"}
        raise getattr(errors, why["type"], InputError)(f"the avatar: {why['detail']}")
    source = folder / "source"
    clip = not is_picture(source)
    if clip:
        heart.part(0.0, PREPARING)
    moves = clip and job["object"] == "talk"  # of a clip that talks only the motion is kept
    portrait, video = (None, source) if moves else (source, None)
    avatar = pipeline.prepare(portrait, video=video, progress=heart, **options)
    heart.part(PREPARING if clip else 0.0, 1.0)
    return avatar


@contextmanager
def _sound(request: Job, folder: Path, options: Job) -> Iterator[tuple[Path | None, str | None]]:
    """The speech or the text; of both only the first seconds, where that was asked for."""
    text, limit_s = request.get("text"), request.get("seconds")
    speech = None if text else folder / "speech"
    if not limit_s:
        yield speech, text
        return
    with spoken(text, Options.of(**options), speech) as sound:
        start = folder / "start.wav"
        write(start, limited(read_blocks(sound), limit_s), rate_hz=SPEECH_RATE_HZ)
    yield start, None
    start.unlink(missing_ok=True)


def _twin(job: Job, folder: Path, heart: _Heart) -> Job:
    """A task of a twin in the store; the video of an inference is copied here."""
    from mdth.twins import tasks

    request, target = job["request"], folder / job["claim"] / VIDEO
    do = tasks.preprocess if request["task"] == "preprocess" else tasks.inference
    done = do(request["twin"], progress=heart, **request["options"])
    return _told(Path(shutil.copyfile(done.path, target))) if done.path.is_file() else {}


_DO = {"avatar": _avatar, "talk": _film, "dub": _film, "twin": _twin}


def _told(video: Path) -> Job:
    folder = video.parents[1]
    info = probe_video(video)
    seconds = info.duration_s or 0.0
    number = int(min(seconds / 2, 1.0) * info.fps)
    _jpeg(next(islice(read_frames(video), number, None)), folder / "thumbnail.jpg", THUMBNAIL_PX)
    size = {"width": info.width, "height": info.height, "duration_s": round(seconds, 3)}
    return {"file": str(video.relative_to(folder)), **size}


def _jpeg(picture: Frame, path: Path, size_px: int) -> None:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((size_px, size_px))
    image.save(path, "JPEG", quality=85)


def _box(mesh: Any, picture: Frame) -> Job:
    """A face [478,3] px as a box x y w h, in parts of the picture [H,W,3]."""
    height, width = picture.shape[:2]
    low, high = mesh[:, :2].min(0) / (width, height), mesh[:, :2].max(0) / (width, height)
    return {"box": [round(float(value), 4) for value in (*low, *(high - low))]}


def look(folder: str) -> Job:
    """What `source` and `speech` in a folder are, or the problem with them.

    Where there is a file `faces` beside them, the faces of the source too, from the left.
    """
    place, found = Path(folder), Job()
    for name, see in (("source", _source), ("speech", _speech)):
        try:
            found |= see(place / name) if (place / name).exists() else {}
        except MdthError as error:
            error_of = {"type": type(error).__name__, "detail": str(error)}
            return {"error": error_of, "field": name}
    return found


def _speech(path: Path) -> dict[str, Any]:
    samples = sum(map(len, read_blocks(path)))
    check_length(samples, f"{path}: ")
    return {"speech_s": samples / SPEECH_RATE_HZ}


def _source(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "portrait" if is_picture(path) else "clip"}
    if found["kind"] == "clip" and not is_clip(path):
        read_image(path)  # which says what is wrong with it as a picture
    if found["kind"] == "clip":
        found["clip_s"] = probe_video(path).duration_s or UNTOLD_S
    if path.with_name("faces").exists():
        found |= _faces(path, clip=found["kind"] == "clip")
    return found


def _faces(path: Path, *, clip: bool) -> dict[str, Any]:
    from mdth.artefacts import LARGEST_PICTURE_PX
    from mdth.face.portrait import find_faces
    from mdth.face.tracker import FaceTracker

    with FaceTracker() as tracker:
        frames = (
            islice(read_frames(path), FIRST_FRAMES)
            if clip
            else iter([read_image(path, max_size=LARGEST_PICTURE_PX)])
        )
        for picture in frames:
            meshes = find_faces(picture, tracker, all_of_them=True)
            if meshes:
                break
    height, width = picture.shape[:2]
    shown = path.with_name("picture.jpg")
    _jpeg(picture, shown, FACES_PX)
    return {
        **{"width": width, "height": height, "faces": [_box(mesh, picture) for mesh in meshes]},
        "picture": f"data:image/jpeg;base64,{b64encode(shown.read_bytes()).decode()}",
    }
