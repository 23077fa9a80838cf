"""Small valid files of every kind that is read: what the damage starts from."""

import io
import json
import struct
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from made_media import make_clip, make_sound, make_wav, tone
from PIL import Image

from mdth.media.writer import VideoWriter

Files = dict[str, bytes]

SOUNDS = {
    "mp3": ("libmp3lame", 16_000, "mono"), "flac": ("flac", 16_000, "stereo"),
    "ogg": ("vorbis", 16_000, "stereo"), "opus": ("libopus", 48_000, "mono"),
    "m4a": ("aac", 16_000, "mono"), "aac": ("aac", 16_000, "stereo"),
    "aiff": ("pcm_s16be", 8_000, "mono"), "au": ("pcm_mulaw", 8_000, "mono"),
    "caf": ("alac", 16_000, "mono"), "w64": ("pcm_f32le", 8_000, "mono"),
    "wv": ("wavpack", 16_000, "mono"), "mka": ("libopus", 48_000, "stereo"),
    "ac3": ("ac3", 48_000, "stereo"), "wma": ("wmav2", 44_100, "mono"),
    "tta": ("tta", 16_000, "mono"), "mp2": ("mp2", 16_000, "mono"),
    "mov": ("adpcm_ima_qt", 16_000, "mono"), "avi": ("adpcm_ms", 16_000, "mono"),
}  # fmt: skip
CLIPS = {
    "mp4": ("libx264", "yuv420p"), "mov": ("mpeg4", "yuv420p"), "mkv": ("libx264", "yuv420p"),
    "webm": ("libvpx-vp9", "yuv420p"), "avi": ("mpeg4", "yuv420p"), "flv": ("flv", "yuv420p"),
    "ts": ("mpeg2video", "yuv420p"), "mpg": ("mpeg1video", "yuv420p"), "gif": ("gif", "rgb8"),
    "wmv": ("wmv2", "yuv420p"), "mxf": ("mpeg2video", "yuv420p"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"), "vp8.webm": ("libvpx", "yuv420p"),
    "hevc.mp4": ("libx265", "yuv420p"), "prores.mov": ("prores", "yuv422p10le"),
    "raw.avi": ("rawvideo", "yuv420p"), "ffv1.mkv": ("ffv1", "yuv420p"),
    "nut": ("mpeg4", "yuv420p"),
}  # fmt: skip
# Not every build of PyAV encodes AMR: one frame of a tone, as a phone has it.
AMR = b"#!AMR\n" + bytes.fromhex("04ab3832777b4854d2084f9226") * 20


def _float_wav() -> bytes:
    content = tone(0.4).astype("<f4").tobytes()
    head = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(content))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks + content)) + b"WAVE" + chunks + content


def _pictures() -> Iterator[np.ndarray]:
    """Eight, [48,64,3]."""
    for number in range(8):
        picture = np.full((48, 64, 3), 20 * number, np.uint8)
        picture[8 : 8 + 3 * number] = (200, 90, 30)
        yield picture


@cache
def sounds() -> tuple[bytes, ...]:
    made = [_float_wav(), AMR]
    with TemporaryDirectory() as folder:
        for channels in (1, 6):
            loud = np.repeat(tone(0.4)[None], channels, 0)
            made.append(make_wav(Path(folder, "a.wav"), loud).read_bytes())
        for suffix, (codec, rate_hz, layout) in SOUNDS.items():
            how = {"rate_hz": rate_hz, "layout": layout, "bit_rate": 64_000}
            path = Path(folder, f"a.{suffix}")
            made.append(
                make_sound(path, tone(0.4, rate_hz=rate_hz), codec=codec, **how).read_bytes()
            )
    return tuple(made)


@cache
def clips() -> tuple[bytes, ...]:
    """Clips of eight pictures; one with sound."""
    made = []
    with TemporaryDirectory() as folder:
        for suffix, (codec, pixels) in CLIPS.items():
            path = Path(folder, f"a.{suffix}")
            quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
            how = {"codec": codec, "pix_fmt": pixels, "options": quiet, "clock_hz": 25}
            times = [Fraction(k, 25) for k in range(8)]
            made.append(make_clip(path, _pictures(), times, **how).read_bytes())
        sound = make_wav(Path(folder, "a.wav"), tone(0.4))
        with VideoWriter(Path(folder, "both.mp4"), width=64, height=48, fps=25, sound=sound) as out:
            for level in range(8):
                out.write(np.full((48, 64, 3), 20 * level, np.uint8))
        made.append(Path(folder, "both.mp4").read_bytes())
    return tuple(made)


@cache
def pictures() -> tuple[bytes, ...]:
    """Pictures of 40 x 30 px in every kind, mode and packing."""
    rows, columns = np.mgrid[0:30, 0:40]
    colours = np.stack([rows * 8, columns * 6, 255 - rows * 3], -1).astype(np.uint8)
    plain = Image.fromarray(colours)
    clear = plain.copy()
    clear.putalpha(128)
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(colours[..., 0].astype(np.uint16) * 257)
    frames = {"save_all": True, "append_images": [plain.rotate(90 * k) for k in (1, 2)]}
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made: list[tuple[Image.Image, str, dict[str, object]]] = [
        (plain, "PNG", {"exif": exif, "icc_profile": profile}),
        (clear, "PNG", {}),
        (plain.convert("P"), "PNG", {"transparency": 3}),
        (wide, "PNG", {}),
        (plain.convert("1"), "PNG", {}),
        (plain, "PNG", frames),
        (plain, "JPEG", {"exif": exif, "icc_profile": profile}),
        (plain, "JPEG", {"progressive": True}),
        (plain.convert("CMYK"), "JPEG", {}),
        (plain.convert("L"), "JPEG", {}),
        (plain, "MPO", frames),
        (plain, "WEBP", {"exif": exif}),
        (clear, "WEBP", {"lossless": True, "icc_profile": profile}),
        (plain, "WEBP", frames),
        (plain, "GIF", frames),
        (plain, "BMP", {}),
        (plain.convert("P"), "BMP", {}),
        (plain, "PPM", {}),
        *((plain, "TIFF", {"compression": name}) for name in
          ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
        (plain.convert("1"), "TIFF", {"compression": "group4"}),
        (wide, "TIFF", {}),
        (Image.fromarray(colours[..., 0].astype(np.float32) / 255), "TIFF", {}),
        (clear, "TIFF", {"exif": exif}),
        (plain.convert("CMYK"), "TIFF", {}),
    ]  # fmt: skip
    found = []
    for picture, kind, options in made:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return tuple(found)


def _saved(*things: object) -> Files:
    with TemporaryDirectory() as folder:
        for thing in things:
            thing.save(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@cache
def artefacts() -> Files:
    from mdth.artefacts import Motion, Portrait
    from mdth.seed.artefacts import Faces, SeedClip, SeedStill

    chance = np.random.default_rng(0)
    image = chance.integers(0, 255, (32, 24, 3), np.uint8)
    shapes = (68, 3), (4, 4), (4, 4), (3, 3), (3,)
    faces = Faces(*(chance.normal(size=(3, *shape)) for shape in shapes))
    return _saved(
        Portrait(image, chance.uniform(0, 24, (478, 3)), np.ones((32, 24), np.float32), 0.3),
        Motion(
            25.0,
            np.ones(3, bool),
            np.stack([np.eye(3)] * 3),
            *(chance.normal(size=(3, *s)) for s in ((3,), (126, 3))),
        ),
        SeedStill(np.zeros((256, 256, 3), np.uint8), faces, np.eye(2, 3)),
        SeedClip(faces, np.ones(3, bool)),
    )


@cache
def settings() -> object:
    """The YAML of a small generator of the seed's engine, parsed."""
    jaw, eyes, lips = [*range(17)], [*range(36, 48)], [*range(48, 68)]
    return {
        "dataset_params": {"frame_shape": [64, 64, 3]},
        "model_params": {
            "common_params": {
                "num_kp": 6, "sections": [[jaw, 1], [eyes, 2], [lips, 3]], "image_channel": 3,
                "feature_channel": 8, "estimate_jacobian": False,
            },
            "generator_params": {
                "block_expansion": 4, "max_features": 16, "num_down_blocks": 2,
                "reshape_channel": 8, "reshape_depth": 4, "num_resblocks": 1,
                "estimate_occlusion_map": True,
                "dense_motion_params": {"block_expansion": 4, "num_blocks": 2, "reshape_depth": 4},
                "decoder": {"ic": 16, "oc": 8},
            },
            "he_estimator_params": {"block_expansion": 4, "max_features": 32, "num_bins": 66},
        },
    }  # fmt: skip


@cache
def sealed() -> Files:
    """A small prepared folder with its manifest."""
    from mdth.storage import manifest

    source = {"chosen": {"name": "a", "bytes": 1, "sha256": "0" * 64}, "skipped": []}
    wanted = {
        **{"format": manifest.FORMAT, "twin": "anna", "settings": {}, "models": {}, "versions": {}},
        "sources": dict.fromkeys(("audio", "image", "video"), source),
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("audio", "image"):
            (folder / kind).mkdir()
            (folder / kind / "a.npy").write_bytes(b"content of " + kind.encode())
        manifest.seal(folder, wanted)
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@cache
def manifest_tree() -> object:
    return json.loads(sealed()["manifest.json"])


@cache
def state_dicts() -> tuple[bytes, ...]:
    """State dicts as today's torch writes them, as older ones did, and inside other things."""
    import torch

    weights = {f"layer{k}.weight": torch.arange(6.0).reshape(2, 3) + k for k in range(3)}
    weights["layer0.bias"] = torch.zeros(3, dtype=torch.float16)
    made = []
    for thing in (weights, {"generator": weights, "epoch": 7}, [weights]):
        for new in (True, False):
            buffer = io.BytesIO()
            torch.save(thing, buffer, _use_new_zipfile_serialization=new)
            made.append(buffer.getvalue())
    return tuple(made)


@cache
def pickles() -> tuple[bytes, ...]:
    """Pickles as FLAME's files are: arrays, sparse matrices, several protocols."""
    import pickle

    from scipy import sparse

    chance = np.random.default_rng(0)
    model = {
        "v_template": chance.normal(size=(5, 3)), "f": np.array([[0, 1, 2], [2, 3, 4]], np.uint32),
        "shapedirs": chance.normal(size=(5, 3, 4)), "posedirs": chance.normal(size=(5, 3, 9)),
        "J_regressor": sparse.csc_matrix(chance.uniform(size=(2, 5)) > 0.5).astype(float),
        "weights": chance.uniform(size=(5, 2)),
        "kintree_table": np.array([[4294967295, 0], [0, 1]], np.int64), "bs_type": "lrotmin",
    }  # fmt: skip
    coordinates = {"lmk_face_idx": np.arange(51), "lmk_b_coords": np.ones((51, 3))}
    made = [pickle.dumps(model, protocol) for protocol in range(6)]
    made += [pickle.dumps(coordinates, 2), pickle.dumps(sparse.coo_matrix(np.eye(3)), 4)]
    buffer = io.BytesIO()
    np.save(buffer, np.array({"pose": np.zeros(15), "trans": np.zeros(3)}), allow_pickle=True)
    return (*made, buffer.getvalue())


@cache
def models() -> Files:
    """FLAME's files by the names they are read under."""
    made = pickles()
    ply = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n" \
        b"property float z\nend_header\n0 0 0\n1 0 0\n0 1 0\n"  # fmt: skip
    binary = b"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty float x\n" \
        b"property float y\nproperty float z\nelement face 1\n" \
        b"property list uchar int vertex_indices\n" \
        b"end_header\n" + struct.pack("<9f", *range(9)) + b"\3" + bytes(12)  # fmt: skip
    return {
        "model.pkl": made[2], "embedding.pkl": made[6], "params.npy": made[8], "text.ply": ply,
        "binary.ply": binary,
    }  # fmt: skip
