"""What a damaged file makes libraries say reaches nobody's terminal."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from made_media import make_wav

SEEK_BACK = """
import sys
from mdth.media import container
from mdth.media.audio import read_blocks
from pathlib import Path
unnamed = container._Unnamed(Path(sys.argv[1]))
assert unnamed.seek(-5, 0) == -1 and unnamed.seek(-50_000, 2) == -1
assert unnamed.seek(3, 0) == 3 and len(unnamed.read(2**31 - 1)) == unnamed.tell() - 3
for place in range(0, 60):
    content = bytearray(Path(sys.argv[1]).read_bytes())
    content[place : place + 4] = bytes.fromhex("ffffff7f")
    Path(sys.argv[2]).write_bytes(content)
    try:
        list(read_blocks(Path(sys.argv[2])))
    except container.UnreadableMedia:
        pass
"""


def test_places_before_the_start_are_no_traceback(tmp_path: Path) -> None:
    path = make_wav(tmp_path / "a.wav", np.zeros(8000, np.float32))
    done = subprocess.run(
        [sys.executable, "-c", SEEK_BACK, str(path), str(tmp_path / "b.wav")], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "being dropped" not in done.stderr
