"""The owner's pickles, as Python 2 and 3 wrote them, through the readers of the seed's engine."""

import io
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from mdth.errors import CheckpointError
from mdth.flame.files import read_embedding, read_model, read_placement
from tests.support import flame_made_up
from tests.support.raising import raises

VERTICES, JOINTS = 12, 5


class Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Writes what Python 2 wrote: text and bytes are both its `str`, of latin1 and with escapes."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_text(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        if self.proto == 0:
            self.write(b"S" + repr(content)[1:].encode() + b"\n")
        else:
            self.write(b"T" + len(content).to_bytes(4, "little") + content)
        self.memoize(value)

    def save_array(self, array: np.ndarray) -> None:
        """Its state holds the bytes themselves, which today's numpy hides behind an encoding."""
        made, arguments, state = array.__reduce__()
        self.save_reduce(made, arguments, state, obj=array)

    dispatch[str] = dispatch[bytes] = save_text
    dispatch[np.ndarray] = save_array


def python_2(value: object, protocol: int) -> bytes:
    file = io.BytesIO()
    Python2(file, protocol).dump(value)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def python_3(value: object, protocol: int) -> bytes:
    return pickle.dumps(value, protocol)


def model() -> dict[str, Any]:
    """FLAME's entries in a small size, arrays under chumpy objects, the regressor sparse."""
    random = np.random.default_rng(0)
    arrays = {
        "v_template": random.normal(size=(VERTICES, 3)),
        "shapedirs": np.asfortranarray(random.normal(size=(VERTICES, 3, 4))),
        "posedirs": random.normal(size=(VERTICES, 3, 36)),
        "weights": random.normal(size=(VERTICES, JOINTS)),
    }
    return {
        **{name: flame_made_up.Ch(array) for name, array in arrays.items()},
        "f": np.array([[0, 1, 2]], np.uint32),
        "J_regressor": csc_matrix(np.eye(JOINTS, VERTICES)),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.int64),
        "bs_style": "lbs", "author": "M\xfcller",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("write", "protocol"),
    [*((python_2, protocol) for protocol in range(3)), *((python_3, n) for n in range(6))],
)
def test_flame_and_its_place(
    write: Callable[[object, int], bytes],
    protocol: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("chumpy.ch")
    module.Ch = flame_made_up.Ch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    path, given = tmp_path / "a.pkl", model()

    def put(value: object) -> Path:
        path.write_bytes(write(value, protocol))
        return path

    found = read_model(put(given))
    np.testing.assert_array_equal(found.template, given["v_template"].x)
    np.testing.assert_array_equal(found.pose_correctives, given["posedirs"].x)
    np.testing.assert_array_equal(found.regressor, np.eye(JOINTS, VERTICES))
    assert found.parents.tolist() == [-1, 0, 1, 1, 1]
    corners = np.full((51, 3), 1 / 3)
    embedding = {"lmk_face_idx": np.arange(51, dtype=np.uint32), "lmk_b_coords": corners}
    np.testing.assert_array_equal(read_embedding(put(embedding)).corners, corners)
    pose, place = read_placement(put({"pose": np.arange(15.0), "trans": np.zeros(3)}))
    assert pose.tolist() == list(range(15)) and not place.any()
    assert (b"_codecs" in path.read_bytes()) == (write is python_3 and protocol < 3)
    raises(CheckpointError, "no v_template", read_model, path)


class Calls:
    def __reduce__(self) -> Any:
        return print, ("called",)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_s_files_of_any_protocol(
    protocol: int, zipped: bool, tmp_path: Path, capfd: Any
) -> None:
    torch = pytest.importorskip("torch")
    from mdth.files import state_dict

    path, weights = tmp_path / "x.pth.tar", {"a": torch.rand(2, 3), "b": torch.rand(3).half()}
    for more in ({}, {"epoch": Calls()}):
        told = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
        torch.save({"generator": weights} | more, path, **told)
        if more:
            raises(CheckpointError, "no readable state dict", state_dict.read, path, "generator")
        else:
            found = state_dict.read(path, "generator")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    torch.jit.trace(torch.nn.Linear(2, 3), torch.rand(1, 2)).save(path)
    raises(CheckpointError, "no readable state dict", state_dict.read, path, "generator")
    assert "called" not in capfd.readouterr().out
