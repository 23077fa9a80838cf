import sys
from pathlib import Path

import pytest

from mdth.files.reading import sha256
from s3_servers import rclone_server

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import store as bench

MIB = 1 << 20
SIZE_MIB = 144
# Of what an upload has in memory: four parts of 8 MiB, each read once and copied once.
UPLOAD_MIB, DOWNLOAD_MIB = 100, 40


def test_large_files_pass_through_little_memory(
    tmp_path: Path, s3_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = tmp_path / "root", tmp_path / "clip.mp4"
    video = root / "bucket/store" / bench.VIDEO
    video.parent.mkdir(parents=True)
    with video.open("wb") as file:
        file.truncate(SIZE_MIB * MIB)
    with rclone_server(root) as server:
        monkeypatch.setenv("MDTH_S3_ENDPOINT", server)
        growth_mib, _ = bench.in_a_process(bench.download_video, str(target))
        assert growth_mib < DOWNLOAD_MIB
        assert sha256(target) == sha256(video)
        growth_mib, _ = bench.in_a_process(bench.upload_video, str(target))
        assert growth_mib < UPLOAD_MIB
    assert sha256(video.with_name("clip.mp4.back")) == sha256(video)
