"""What a worker process does with one job, and the quick look at what was sent."""

import logging
import os
import shutil
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from mdth import engines, errors, pipeline
from mdth.artefacts import SPEECH_RATE_HZ, Frame
from mdth.batch.worker import leave
from mdth.engine import Avatar
from mdth.errors import InputError, MdthError, StorageError, in_words
from mdth.files.json import write_json
from mdth.log.stages import size_below
from mdth.media.audio import read_blocks
from mdth.media.image import is_picture, read_image
from mdth.media.meant import is_clip
from mdth.media.speech import Said, check_length
from mdth.media.video import probe_video, read_frames
from mdth.options import Options
from mdth.serve.problems import described
from mdth.serve.queue import Job, Queue
from mdth.speak.voice import spoken, write

log = logging.getLogger("mdth")

BEAT_S = 1.0
# A cancelled job that has not noticed by then loses its process.
NOTICE_S = 5.0
THUMBNAIL_PX, FACES_PX, PREVIEW_PX = 320, 640, 960
# Of the progress, where a clip is followed before it speaks.
PREPARING = 0.3
# Of a clip, what is looked at for faces.
FIRST_FRAMES = 10


def run(ticket: str, *, data: str, keep_s: float) -> bool:
    """Do the job of a ticket, its id and its claim; whether it was still ours to do.

    Raises StorageError, after which it may be tried again; all else ends in the job's problem.
    """
    job_id, _, claim = ticket.partition("/")
    queue, folder = Queue(Path(data)), Path(data) / "jobs" / job_id
    job = queue.get(job_id)
    heart = _Heart(queue, job_id, claim)
    try:
        with heart.beating():
            result = _DO[job["object"]](job, folder, folder / claim, Path(data), heart)
    except _Gone:
        shutil.rmtree(folder / claim, ignore_errors=True)
        return False
    except Exception as error:
        words = in_words(error)
        if isinstance(words, StorageError):
            raise words from error
        log.info("%s: %s", job_id, words)
        if queue.finish(job_id, claim, error=described(words, job), keep_s=keep_s):
            shutil.rmtree(folder, ignore_errors=True)
        return True
    sent = [folder / name for name in _not_kept(job) if (folder / name).exists()]
    size = size_below(folder) - sum(path.stat().st_size for path in sent)
    stays_s = None if job["object"] == "avatar" else keep_s
    ours = queue.finish(job_id, claim, result=result, keep_s=stays_s, size=size)
    for path in sent if ours else ():
        path.unlink(missing_ok=True)
    queue.close()
    return ours


def _not_kept(job: Job) -> set[str]:
    """What was sent and nobody needs once the job is done; a dub keeps its clip to compare."""
    return {"speech"} if job["object"] == "dub" else {"speech", "source"}


class _Gone(BaseException):
    """The job is no longer ours: cancelled, or given to another. No Exception: nobody wraps it."""


class _Heart:
    """Says that a job is alive and how far it is, and ends it when it is not wanted any more."""

    def __init__(self, queue: Queue, job_id: str, claim: str) -> None:
        self._queue, self._claim = queue, (job_id, claim)
        self._gone, self._over = threading.Event(), threading.Event()
        self._share = 0.0
        self._left_s: float | None = None
        self._begun, self._from, self._to, self._done = time.monotonic(), 0.0, 1.0, 0

    def part(self, start: float, end: float) -> None:
        """What follows is this part of the whole, of 1."""
        self._begun, self._from, self._to = time.monotonic(), start, end

    def __call__(self, done: int, total: int | None) -> None:
        """How far it is; the progress that the pipeline takes. Raises _Gone."""
        if self._gone.is_set():
            raise _Gone
        if not total:
            return
        share = min(1.0, done / total)
        self._share = self._from + share * (self._to - self._from)
        self._left_s = (time.monotonic() - self._begun) * (1 - share) / max(share, 1e-3)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat while the `with` lasts."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _beat(self) -> None:
        parent, gone_at = os.getppid(), None
        while not self._over.wait(BEAT_S):
            if os.getppid() != parent:  # the server was killed: whoever comes next does it
                self._queue.hand_back(*self._claim, counted=False)
                leave()
            left_s = None if self._left_s is None else round(self._left_s, 1)
            if not self._queue.beat(*self._claim, min(99, int(100 * self._share)), left_s):
                gone_at = gone_at or time.monotonic()
                self._gone.set()
                if time.monotonic() - gone_at > NOTICE_S:
                    leave()


def _avatar(job: Job, folder: Path, made: Path, data: Path, heart: _Heart) -> Job:
    """Prepare what was sent: the folder `avatar` and a picture of the face found."""
    source, options = folder / "source", job["request"]["options"]
    avatar = pipeline.prepare(source, progress=heart, **options)
    engines.save(avatar, folder / "avatar")
    picture = avatar.portrait.image
    _jpeg(picture, folder / "preview.jpg", PREVIEW_PX)
    kind = "clip" if getattr(avatar, "keeps_clip", False) else "portrait"
    return {"kind": kind, "faces": [_box(avatar.portrait.mesh, picture)]}


def _film(job: Job, folder: Path, made: Path, data: Path, heart: _Heart) -> Job:
    """Let an avatar, a picture or a clip speak: the folder of the claim has the mp4."""
    request, dub = job["request"], job["object"] == "dub"
    made.mkdir(exist_ok=True)
    target, options = made / "video.mp4", request["options"]
    avatar = _who(job, folder, data, heart, options, dub=dub)
    say = pipeline.dub if dub else pipeline.talk
    with _sound(request, folder, options) as (sound, text):
        record = say(avatar, sound, target, text=text, progress=heart, **options)
    return {**_told(target, folder), "frames": record["frames"], "seconds": record["seconds"]}


def _who(job: Job, folder: Path, data: Path, heart: _Heart, options: Job, *, dub: bool) -> Avatar:
    if job["avatar"]:
        prepared = data / "jobs" / job["avatar"] / "avatar"
        if engines.is_saved(prepared):
            return engines.load(prepared)
        why = Queue(data).get(job["avatar"])["error"] or {"type": "", "detail": "it was cancelled"}
        raise getattr(errors, why["type"], InputError)(f"the avatar: {why['detail']}")
    source = folder / "source"
    clip = not is_picture(source)
    if clip:
        heart.part(0.0, PREPARING)
    portrait, video = (None, source) if clip and not dub else (source, None)
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
        write(start, Said.of(sound).limited(limit_s), rate_hz=SPEECH_RATE_HZ)
    yield start, None
    start.unlink(missing_ok=True)


def _twin(job: Job, folder: Path, made: Path, data: Path, heart: _Heart) -> Job:
    """A task of a twin in the store; the video of an inference is copied here."""
    from mdth.twins import tasks

    request = job["request"]
    do = tasks.preprocess if request["task"] == "preprocess" else tasks.inference
    done = do(request["twin"], progress=heart, **request["options"])
    if request["task"] == "preprocess":
        return {}
    made.mkdir(exist_ok=True)
    shutil.copyfile(done.path, made / "video.mp4")
    return _told(made / "video.mp4", folder)


_DO = {"avatar": _avatar, "talk": _film, "dub": _film, "twin": _twin}


def _told(video: Path, folder: Path) -> Job:
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


def look(folder: str) -> bool:
    """Write `look.json`: what `source` and `speech` in a folder are, or the problem with them.

    Where there is a file `faces` beside them, the faces of the source too, from the left.
    """
    place, found = Path(folder), dict[str, Any]()
    for name, see in (("source", _source), ("speech", _speech)):
        try:
            found |= see(place / name) if (place / name).exists() else {}
        except MdthError as error:
            found = {"error": described(error, {}), "field": name}
            break
    write_json(place / "look.json", found)
    return True


def _speech(path: Path) -> dict[str, Any]:
    samples = sum(map(len, read_blocks(path)))
    check_length(samples, f"{path}: ")
    return {"speech_s": samples / SPEECH_RATE_HZ}


def _source(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "portrait" if is_picture(path) else "clip"}
    if found["kind"] == "clip" and not is_clip(path):
        read_image(path)  # which says what is wrong with it as a picture
    if path.with_name("faces").exists():
        found |= _faces(path, clip=found["kind"] == "clip")
    return found


def _faces(path: Path, *, clip: bool) -> dict[str, Any]:
    from mdth.artefacts import LARGEST_PICTURE_PX
    from mdth.face.find import TRACKER
    from mdth.face.portrait import find_faces
    from mdth.face.tracker import FaceTracker
    from mdth.files import assets

    with FaceTracker(assets.path(TRACKER)) as tracker:
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
