"""How well a clip is encoded, so that it can be encoded as well again."""

import gc
from pathlib import Path

import numpy as np
from av.sidedata.encparams import VideoEncParams
from av.video.frame import PictureType

from mdth.media.container import open_track
from mdth.media.kinds import CLIP_CODECS

# Frames that are looked at: so many at so many places.
PLACES, FRAMES_EACH = 8, 4
USUAL_CRF, BEST_CRF, WORST_CRF = 18, 14, 21
# x264 is asked for this much finer than the clip's quantiser is where a picture has detail; see
# docs/quality.md. Flat walls are quantised finer in any clip, and B-frames coarser.
FINER, DETAIL = 4, 0.75


def source_crf(path: Path) -> int:
    """The x264 quality that keeps a clip about as good and as large as it is.

    From the quantisers of its H.264 pictures at several places; other codecs do not tell them, and
    get the usual one. Raises MissingInput, UnreadableMedia.
    """
    found: list[float] = []
    with open_track(path, "video", CLIP_CODECS) as track:
        if track.stream.codec_context.name != "h264":
            return USUAL_CRF
        track.stream.codec_context.options = {"export_side_data": "venc_params"}
        for place in range(PLACES):
            if place and track.declared_s:
                at_s = float(track.start_s) + track.declared_s * place / PLACES
                track.stream.container.seek(int(at_s * 1_000_000))
            for _, frame in zip(range(FRAMES_EACH), track.decode(), strict=False):
                for data in frame.side_data:
                    if isinstance(data, VideoEncParams) and frame.pict_type != PictureType.B:
                        found.append(float(np.quantile(data.qp_map(), DETAIL)))
            gc.collect()  # PyAV's frames and their side data hold each other, 50 MB each in 8K
    if not found:
        return USUAL_CRF
    return int(np.clip(round(np.mean(found) - FINER), BEST_CRF, WORST_CRF))
