"""Names in the store and in the local tree; `mdth.twins.twin.Twin` has the folders.

| what | store | local, under `MDTH_HOME` |
|---|---|---|
| models | | warping-common/th/{checkpoints,flame} |
| input | raw/{twin}/{kind} | warping-data/{twin}/{kind} |
| prepared | processed/{twin}/preprocessed/th/{kind} | warping-processed/{twin}/processed/th/... |
| output | inference/{twin}/th | warping-serving/{twin}/th |

{kind} is audio, image or video.
"""

import re

from mdth.errors import InvalidTwinId

MODEL = "th"
AUDIO, IMAGE, VIDEO = "audio", "image", "video"
KINDS = (AUDIO, IMAGE, VIDEO)
MANIFEST = "manifest.json"
# A result: the video, the record of what made it, and how long each stage took.
OUTPUT, RECORD, TIMES = "output.mp4", "output.json", "times.json"
LONGEST_TWIN_ID = 64
TWIN_ID_RULE = (
    f"letters, digits, '.', '_' and '-', no dot first or last, no '..', at most {LONGEST_TWIN_ID} "
    "characters, no name of a device of Windows"
)

_TWIN_ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LONGEST_TWIN_ID - 1}}}")
_DEVICES = {"CON", "PRN", "AUX", "NUL"} | {f"{n}{k}" for n in ("COM", "LPT") for k in range(10)}


def is_twin_id(word: str) -> bool:
    """Whether it is a plain name, so that it stays inside its folder everywhere."""
    device = word.partition(".")[0].upper() in _DEVICES
    return not (device or ".." in word or word.endswith(".")) and bool(_TWIN_ID.fullmatch(word))


def check_twin_id(twin_id: str) -> str:
    """The id itself. Raises InvalidTwinId when it is none."""
    if not isinstance(twin_id, str) or not is_twin_id(twin_id):
        raise InvalidTwinId(f"{ascii(twin_id)[:80]} is not a twin id; use {TWIN_ID_RULE}")
    return twin_id
