"""No decoder opens another file or an address, whatever the file it reads asks for.

Each kind is made with a reference to a canary file and to a server of ours. That the canary and the
server do notice is shown with FFmpeg itself, without our limits.
"""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hostile_files import avi_with_subtitles, mov_with_reference
from made_media import make_clip, make_wav

from mdth.errors import InputError, MissingInput, UnreadableMedia
from mdth.media.audio import probe_sound, read_blocks
from mdth.media.image import is_picture, read_image
from mdth.media.video import probe_video, read_frames
from tests.support.raising import raises

# {0} stands for the reference: a path or an address.
TEXTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n",
    "hls_master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{0}\n",
    "hls_key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXT-X-TARGETDURATION:9\n'
    "#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n",
    "hls_map": '#EXTM3U\n#EXT-X-MAP:URI="{0}"\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}\n',
    "concat": "ffconcat version 1.0\nfile '{0}'\n",
    "concat_subfile": "ffconcat version 1.0\nfile 'subfile,,start,0,end,0,,:{0}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S" profiles="x"><Period><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>",
    "smil": '<smil><body><audio src="{0}"/></body></smil>',
    "asx": '<asx version="3.0"><entry><ref href="{0}"/></entry></asx>',
    "ram": "{0}\n",
    "url": "[InternetShortcut]\nURL={0}\n",
    "pls": "[playlist]\nFile1={0}\nNumberOfEntries=1\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{0}\n"
    "m=audio 5004 RTP/AVP 0\n",
    "reference_movie": "RTSPtextrtsp://127.0.0.1/{0}",
    "asf_reference": "[Reference]\nRef1={0}?MSWMExt=.asf\n",
    "srt": '1\n00:00:00,000 --> 00:00:09,000\n<img src="{0}">\n',
    "ass": "[Script Info]\n[V4+ Styles]\n[Fonts]\nfontname: {0}\n[Events]\n"
    "Dialogue: 0,0:00:00.00,0:00:09.00,,,,,,,{{\\img({0})}}\n",
    "vobsub_index": "# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\n"
    "timestamp: 00:00:00:000, filepos: 000000000\n# {0}\n",
    "webvtt": "WEBVTT\n\n00:00.000 --> 00:09.000\n<c.{0}>\n",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/'
    '2016"><Id>{0}</Id></CompositionPlaylist>',
    "filter": "movie={0}",
    "metadata": ";FFMETADATA1\ntitle={0}\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="64" height="64"><image xlink:href="{0}" width="64" height="64"/></svg>',
    "svg_entity": '<!DOCTYPE s [<!ENTITY x SYSTEM "{0}">]><svg xmlns="http://www.w3.org/2000/svg">'
    "&x;</svg>",
    "eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({0}) run\nshowpage\n%%EOF\n",
    "pdf": "%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI({0})>>>>endobj\n%%EOF\n",
    "mvg": "push graphic-context\nviewbox 0 0 64 64\nimage over 0,0 0,0 '{0}'\n",
}
READERS: dict[str, Callable[[Path], object]] = {
    "sound": lambda path: list(read_blocks(path)), "probe": probe_sound,
    "clip": lambda path: list(read_frames(path)), "probe_clip": probe_video, "picture": read_image,
}  # fmt: skip
NAMES = ["list.mp3", "list.m3u8", "list.jpg"]


def references(canary: Path, url: str) -> dict[str, str]:
    return {
        "path": str(canary), "beside": f"private/{canary.name}",
        "up": f"private/../private/{canary.name}", "file": f"file://{canary}",
        "http": f"{url}/canary.wav", "crypto": f"crypto:{canary}",
        "concat": f"concat:{canary}|{canary}", "data": "data:audio/wav;base64,UklGRg==",
    }  # fmt: skip


def _plain_open(path: Path, **options: str) -> None:
    """What FFmpeg does on its own."""
    with av.open(str(path), options=options) as container:
        for packet in container.demux():
            packet.decode()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", TEXTS)
def test_texts_that_name_other_files(
    tmp_path: Path, canary: object, server: object, kind: str, reader: str
) -> None:
    for reference in references(canary.path, server.url).values():
        for name in NAMES:
            path = tmp_path / name
            path.write_text(TEXTS[kind].format(reference))
            with pytest.raises(UnreadableMedia):
                READERS[reader](path)
            assert not is_picture(path)
    assert not canary.touched
    assert server.asked == []


def test_canary_and_server_do_notice(tmp_path: Path, canary: object, server: object) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(TEXTS["concat"].format(canary.path))
    _plain_open(path, safe="0")
    assert canary.touched
    path.write_text(TEXTS["hls"].format(f"{server.url}/canary.wav"))
    with pytest.raises(av.FFmpegError):  # a wav is no segment, but it has been asked for
        _plain_open(path, protocol_whitelist="file,http,tcp", allowed_extensions="ALL")
    assert server.asked


def test_a_film_whose_sound_lies_in_another_file(tmp_path: Path, canary: object) -> None:
    path = mov_with_reference(tmp_path / "a.mov", canary.path)
    with pytest.raises(av.FFmpegError):  # the canary holds no film; that it was opened is the point
        _plain_open(path, enable_drefs="1", use_absolute_path="1")
    assert canary.touched
    for read in READERS.values():
        try:
            read(path)
        except InputError:
            continue
    assert not canary.touched


def test_subtitles_inside_an_avi(tmp_path: Path, canary: object, server: object) -> None:
    for reference in references(canary.path, server.url).values():
        for kind in ("hls", "concat", "srt", "ass"):
            path = avi_with_subtitles(tmp_path / "a.avi", TEXTS[kind].format(reference))
            assert len(list(read_frames(path))) == 10
            raises(UnreadableMedia, None, list, read_blocks(path))
    assert not canary.touched
    assert server.asked == []


@pytest.mark.parametrize(
    "name",
    [
        *("http://127.0.0.1:9/a.wav", "https:a.wav", "pipe:0", "-", "concat:a.wav|b.wav"),
        *("subfile,,start,0,end,9,,:a.wav", "cache:a.wav", "crypto:a.wav", "data:audio/wav,x"),
        *("lavfi:sine", "sine=frequency=440", "frame%03d.png", "*.wav", "hw:0", ":0.0"),
    ],
)
def test_names_are_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make_wav(tmp_path / "a.wav", np.zeros(8000, np.float32))
    monkeypatch.chdir(tmp_path)
    for read in READERS.values():
        raises((MissingInput, UnreadableMedia), None, read, Path(name))
    if "/" not in name:  # and a file of that very name is only a file
        shutil.copyfile("a.wav", name)
        assert len(list(read_blocks(Path(name)))) == 1


def test_a_numbered_picture_is_one_picture(tmp_path: Path) -> None:
    grey = np.full((32, 32, 3), 99, np.uint8)
    for number in range(3):
        make_clip(tmp_path / f"a{number}.mp4", [grey] * 3, [0, 0.1, 0.2])
    shutil.copyfile(tmp_path / "a0.mp4", tmp_path / "a%d.mp4")
    alone = len(list(read_frames(tmp_path / "a0.mp4")))
    assert len(list(read_frames(tmp_path / "a%d.mp4"))) == alone


def test_text_of_any_first_bytes_is_no_media(tmp_path: Path) -> None:
    """Whatever signature stands before a playlist, nothing plays it."""
    for start in (b"ID3\x04\0\0\0\0\0\0", b"RIFF", b"\xef\xbb\xbf", struct.pack("<I", 0)):
        path = tmp_path / "a.mp3"
        path.write_bytes(start + TEXTS["hls"].format("/etc/hostname").encode())
        raises(UnreadableMedia, None, list, read_blocks(path))
