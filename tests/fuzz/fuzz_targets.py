"""What is fuzzed: for each target how cases are made, and what must hold of one.

A case is bytes (several files travel as a zip). A run ends in a result that keeps its promises or
in an MdthError; everything else is a finding.
"""

import contextlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fuzz_seeds as seeds
import numpy as np
from fuzz_mutations import as_zip, changed_tree, damaged, from_zip, one_file_damaged, values
from hypothesis import strategies as st

from mdth.errors import MdthError


class BrokenPromise(Exception):
    """A result that is not what its function promises."""


class Target(NamedTuple):
    """cases: makes the strategy. run: one case, with an empty folder; raises what it finds."""

    cases: Callable[[], st.SearchStrategy[bytes]]
    run: Callable[[bytes, Path], None]


def promise(kept: object, what: object) -> None:
    if not kept:
        raise BrokenPromise(str(what))


@contextlib.contextmanager
def _may_refuse() -> object:
    """One call of several on the same case: refusing it does not keep the others from it."""
    with contextlib.suppress(MdthError):
        yield


def _written(content: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _sound(content: bytes, folder: Path) -> None:
    from mdth.media.audio import decode_blocks, probe_sound, read_blocks

    path = _written(content, folder, "a.wav")
    with _may_refuse():
        info = probe_sound(path)
        promise(info.rate_hz > 0 and info.channels > 0, info)
    with _may_refuse():
        for block in decode_blocks(path):
            promise(block.ndim == 2 and block.dtype == np.float32, block.dtype)
    for block in read_blocks(path):
        promise(block.ndim == 1 and block.dtype == np.float32, block.dtype)
        promise(len(block) and np.isfinite(block).all(), "samples that are no numbers")


def _clip(content: bytes, folder: Path) -> None:
    from mdth.media.video import probe_video, read_frames

    path = _written(content, folder, "a.mp4")
    info = probe_video(path)
    promise(1 <= info.fps <= 120, info)
    shape = (info.height, info.width, 3)
    for frame in read_frames(path):
        promise(frame.dtype == np.uint8 and frame.shape == shape, (frame.shape, info))
        promise(frame.shape[0] % 2 == frame.shape[1] % 2 == 0, frame.shape)


def _picture(content: bytes, folder: Path) -> None:
    from mdth.media.image import read_image

    picture = read_image(_written(content, folder, "a.jpg"), max_size=64)
    height, width, colours = picture.shape
    promise(picture.dtype == np.uint8 and colours == 3, picture.shape)
    promise(max(height, width) <= 64 and height % 2 == width % 2 == 0, picture.shape)
    promise(min(height, width) >= 2, picture.shape)


def _artefacts(content: bytes, folder: Path) -> None:
    from mdth.artefacts import Motion, Portrait
    from mdth.seed.artefacts import SeedClip, SeedStill

    for name, part in from_zip(content).items():
        _written(part, folder, name)
    with _may_refuse():
        portrait = Portrait.load(folder)
        promise(portrait.image.shape[2:] == (3,) and np.isfinite(portrait.mesh).all(), "portrait")
    with _may_refuse():
        motion = Motion.load(folder)
        promise(motion.fps > 0 and len(motion.found) == len(motion.upper) > 0, "motion")
    with _may_refuse():
        promise(SeedStill.load(folder).crop.shape == (2, 3), "still")
    with _may_refuse():
        clip = SeedClip.load(folder)
        promise(len(clip.found) == len(clip.faces), "clip")


def _manifest(content: bytes, folder: Path) -> None:
    from mdth.storage import manifest
    from mdth.storage.store import Store

    (folder / "twin").mkdir()
    for name, part in from_zip(content).items():
        path = folder / "twin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(part)
    with _may_refuse():
        found = Store(str(folder)).find_json("twin/manifest.json")
        there = (folder / "twin/manifest.json").exists()
        promise(isinstance(found, dict) if there else found is None, "json")
    read = manifest.read(folder / "twin", twin="anna")
    promise(read["twin"] == "anna", read)
    for kind in ("audio", "image", "video"):
        for path in manifest.files_of(folder / "twin", read, kind).values():
            promise(path.resolve().is_relative_to((folder / "twin").resolve()), path)


def _manifest_cases() -> st.SearchStrategy[bytes]:
    files = seeds.sealed()
    trees = changed_tree(seeds.manifest_tree()).map(lambda tree: _json(tree))
    whole = trees.map(lambda text: as_zip({**files, "manifest.json": text}))
    return st.one_of(whole, one_file_damaged(files))


def _json(tree: object) -> bytes:
    return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")


def _state_dict(content: bytes, folder: Path) -> None:
    import torch

    from mdth.faceformer import config, network
    from mdth.files import state_dict

    path = _written(content, folder, "a.pth")
    with _may_refuse():
        network.load_network(path, config.VOCASET)
    with _may_refuse():
        state_dict.read(path, "generator")
    for tensor in state_dict.read(path).values():
        promise(isinstance(tensor, torch.Tensor), type(tensor))


def _state_dict_cases() -> st.SearchStrategy[bytes]:
    """Damaged files, and whole ones that hold what no state dict should."""
    import io

    import torch

    weight = torch.arange(6.0).reshape(2, 3)
    things = [
        weight, weight.half(), weight.int(), weight.bool(), weight.to(torch.complex64), weight.t(),
        torch.zeros(1).expand(10**9, 10**9), torch.zeros(1, dtype=torch.float16).expand(10**9),
        torch.zeros(0, 5), torch.tensor(1.0), weight.to_sparse(), torch.nn.Parameter(weight),
        torch.full((2, 3), float("nan")), torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        torch.empty(3, device="meta"), weight.bfloat16(), torch.as_strided(weight, (2, 2), (0, 1)),
        None, 1, "text", b"bytes", [weight], (weight, weight), {"inner": weight}, 10**400, 1e400,
        torch.float32, torch.device("cpu"), torch.Size([1, 2]), set(), {1: weight}, {weight: 1},
    ]  # fmt: skip
    names = ["generator", "he_estimator", "vertice_map_r.bias", "obj_vector.weight", "PPE.pe", "a"]
    tables = st.dictionaries(st.sampled_from(names), st.sampled_from(things), max_size=5)

    def saved(thing: object, new: bool) -> bytes:
        buffer = io.BytesIO()
        torch.save(thing, buffer, _use_new_zipfile_serialization=new)
        return buffer.getvalue()

    whole = st.one_of(tables, tables.map(lambda table: {"generator": table}))
    written = st.builds(saved, whole, st.booleans()).filter(_is_short)
    return st.one_of(damaged(seeds.state_dicts()), written)


def _is_short(content: bytes) -> bool:
    return len(content) < 1_000_000


def _pickle(content: bytes, folder: Path) -> None:
    from mdth.files import pickle as model_pickle

    model_pickle.loads(content)


def _model(content: bytes, folder: Path) -> None:
    from mdth.flame import files

    case = from_zip(content)
    for name, part in case.items():
        _written(part, folder, name)
    with _may_refuse():
        flame = files.read_model(folder / "model.pkl")
        promise(len(flame.template) == len(flame.weights), "model")
        files.read_model(folder / "model.npz")
    with _may_refuse():
        files.read_embedding(folder / "embedding.pkl")
    with _may_refuse():
        files.read_placement(folder / "params.npy")
    for name in ("text.ply", "binary.ply"):
        with _may_refuse():
            promise(files.read_vertices(folder / name).shape[1:] == (3,), name)


def _settings(content: bytes, folder: Path) -> None:
    from mdth.bfv2v import config

    path = _written(content, folder, "a.yaml")
    with _may_refuse():
        config.read_headpose(path)
    found = config.read_generator(path)
    promise(found.keypoints > 0, found)


def _settings_cases() -> st.SearchStrategy[bytes]:
    import yaml

    tree = seeds.settings()
    plain, written = _json(tree), yaml.safe_dump(tree).encode()
    aliases = b"a: &a [1, 2]\nb: &b [*a, *a]\nmodel_params: {x: *b}\n"
    return st.one_of(
        changed_tree(tree).map(_json),
        damaged(
            [plain, written, aliases, b"!!python/object/apply:os.abort []\n", b"<<: &a\n  <<: *a\n"]
        ),
    )


LOOK_ALIKES = "/\\.％․‥…⁄∕⧸／＼｡．﹒\0\n\r\t :*?\"<>|~$`'%2e%2f\u202e\ufeff\u0300aA1_-"


def _names(content: bytes, folder: Path) -> None:
    from mdth.storage import layout
    from mdth.storage.store import Store
    from mdth.twins.twin import Twin

    name = content.decode("utf-8", "surrogateescape")
    store = Store(str(folder))
    (folder / "raw").mkdir()
    for path in (name, f"raw/{name}", f"raw/anna/audio/{name}"):
        with _may_refuse():
            store.below(path)
        with _may_refuse():
            store.download(path, folder / "into" / "a")
        with _may_refuse():
            store.upload(Path(os.devnull), path)
    inside = {path for path in folder.rglob("*")}
    promise(all(path.resolve().is_relative_to(folder.resolve()) for path in inside), "outside")
    layout.check_twin_id(name)
    promise(name.isascii() and name.isprintable() and "/" not in name and "\\" not in name, name)
    promise(name not in (".", "..") and len(name) <= 64, name)
    twin = Twin(name, store, folder)
    for path in (twin.raw("audio")[1], twin.prepared.local, twin.video.local):
        promise(path.resolve().is_relative_to(folder.resolve()), path)
        promise(os.path.normpath(path) == str(path), path)


def _name_cases() -> st.SearchStrategy[bytes]:
    pieces = ["..", ".", "/", "\\", "%2e%2e", "%2F", "\0", "\n", "~", "C:", "CON", "anna", "a" * 70,
              "．．", "／", "‥", "⁄", "\udcff", "../", "\xc0\xae", "$HOME", "-rf", " "]  # fmt: skip
    text = st.one_of(
        st.lists(st.sampled_from(pieces), min_size=1, max_size=6).map("".join),
        st.text(alphabet=LOOK_ALIKES, min_size=1, max_size=80),
        st.text(min_size=0, max_size=90),
        st.from_regex(r"[A-Za-z0-9._-]{1,66}", fullmatch=True),
    )
    return text.map(lambda name: name.encode("utf-8", "surrogatepass"))


def _pickle_cases() -> st.SearchStrategy[bytes]:
    import pickletools

    opcodes = [code.code.encode("latin1") for code in pickletools.opcodes]
    names = [b"cos\nsystem\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cchumpy.ch\nCh\n",
             b"ccopy_reg\n_reconstructor\n", b"c__builtin__\nset\n",
             b"cscipy.sparse.csc\ncsc_matrix\n",
             b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n", b"K\x05", b"I7\n",
             b"U\x01a",
             b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n",
             ]  # fmt: skip
    program = st.lists(st.sampled_from([*opcodes, *names]), max_size=40).map(b"".join)
    steps = program.map(lambda steps: b"\x80\x02" + steps + b".")
    arrays = [np.arange(6.0), np.zeros((2, 0)), np.array(1), np.array("text"), np.array([None, 1]),
              np.float32(3), np.asfortranarray(np.eye(3)), np.zeros(2, "f4,i4"),
              np.arange(3) > 1]  # fmt: skip
    trees = st.dictionaries(st.text(max_size=5), st.one_of(st.sampled_from(arrays), values))
    protocols = st.integers(0, 5)
    written = st.builds(lambda tree, protocol: pickle.dumps(tree, protocol), trees, protocols)
    return st.one_of(damaged(seeds.pickles()), steps, written)


TARGETS: dict[str, Target] = {
    "sound": Target(lambda: damaged(seeds.sounds()), _sound),
    "clip": Target(lambda: damaged(seeds.clips()), _clip),
    "picture": Target(lambda: damaged(seeds.pictures()), _picture),
    "artefacts": Target(lambda: one_file_damaged(seeds.artefacts()), _artefacts),
    "manifest": Target(_manifest_cases, _manifest),
    "checkpoint": Target(_state_dict_cases, _state_dict), "pickle": Target(_pickle_cases, _pickle),
    "flame": Target(lambda: one_file_damaged(seeds.models()), _model),
    "settings": Target(_settings_cases, _settings), "names": Target(_name_cases, _names),
}  # fmt: skip
