import collections
import os
import pickle
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mdth import restricted_pickle
from mdth.errors import CheckpointError

# As Python 2 with `latin1` strings wrote it: the bytes of an array in a BINSTRING.
PYTHON_2 = (
    b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00"
    b"\x85U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f8K\x00K\x01\x87Rq\x06(K\x03U\x01<"
    b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10"
    + np.array([1.5, -2.0]).tobytes()
    + b"tbs."
)


class Bomb:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.what = (call, arguments)

    def __reduce__(self) -> Any:
        return self.what


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_come_back(protocol: int) -> None:
    given = {
        "real": np.random.default_rng(0).normal(size=(4, 3)),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "big_end": np.arange(3, dtype=">u2"),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3)),
        "style": "lbs",
        "scalar": np.float64(2.5),
    }
    found = restricted_pickle.loads(pickle.dumps(given, protocol))
    for key, value in given.items():
        np.testing.assert_array_equal(found[key], value)
    assert found["real"].dtype == np.float64 and found["columns"].dtype == np.int32


def test_python_2() -> None:
    found = restricted_pickle.loads(PYTHON_2)
    np.testing.assert_array_equal(found["a"], [1.5, -2])


@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
@pytest.mark.parametrize("name", ["matrix", "array"])
def test_sparse_becomes_dense(kind: str, name: str) -> None:
    dense = np.random.default_rng(0).normal(size=(5, 9)) * (np.arange(9) % 3 == 0)
    matrix = getattr(sparse, f"{kind}_{name}")(dense)
    found = restricted_pickle.loads(pickle.dumps({"m": matrix}, 2))
    np.testing.assert_array_equal(found["m"], dense)


class Ch:
    """Like chumpy's objects in a file: a value or a choice of another's, among other things."""

    def __init__(self, **state: Any) -> None:
        self.__dict__ = {**state, "_dirty_vars": {"x"}, "_itr": None}


@pytest.mark.parametrize("protocol", range(6))
def test_chumpy(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chumpy = {name: types.ModuleType(name) for name in ("chumpy.ch", "chumpy.reordering")}
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for (path, module), name in zip(chumpy.items(), ("Ch", "Select"), strict=True):
        kind = type(name, (Ch,), {"__module__": path, "__qualname__": name})
        setattr(module, name, kind)
        monkeypatch.setitem(sys.modules, path, module)
    whole = chumpy["chumpy.ch"].Ch(x=np.asfortranarray(np.arange(12.0).reshape(4, 3)))
    part = chumpy["chumpy.reordering"].Select(
        a=whole, idxs=np.array([0, 1, 3, 4]), preferred_shape=(2, 2)
    )
    found = restricted_pickle.loads(pickle.dumps({"whole": whole, "part": part}, protocol))
    np.testing.assert_array_equal(found["whole"], np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(found["part"], [[0, 1], [3, 4]])


def test_parameters_in_a_numpy_file(tmp_path: Path) -> None:
    path = tmp_path / "params.npy"
    np.save(path, {"pose": np.arange(15.0), "trans": np.zeros(3)})  # type: ignore[arg-type]
    np.testing.assert_array_equal(restricted_pickle.load(path)["pose"], np.arange(15))


@pytest.mark.parametrize(
    ("bomb", "name"),
    [
        (Bomb(os.system, "touch bomb"), "system"),
        (Bomb(eval, "open('bomb', 'w')"), "__builtin__.eval"),
        (Bomb(getattr, "a", "b"), "__builtin__.getattr"),
        (Bomb(np.load, "bomb"), "load"),
        (collections.deque([1]), "collections.deque"),
        (Path("bomb"), "pathlib"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_other_names_stop_it(
    bomb: Any, name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps({"v_template": [bomb]}, protocol))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=name) as caught:
        restricted_pickle.load(path)
    assert "generic_model.pkl" in str(caught.value)
    assert not (tmp_path / "bomb").exists()


def test_memo_bombs_cost_no_time() -> None:
    doubled = b"\x80\x02)q\x00" + b"".join(b"0h\x00h\x00\x86q\x00" for _ in range(40))
    key_bomb = b"\x80\x02})q\x00" + b"".join(b"h\x00\x86q\x00" for _ in range(60)) + b"Ns."
    laughs: list[Any] = ["ha"]
    for _ in range(60):
        laughs = [laughs] * 10
    start = time.perf_counter()
    assert restricted_pickle.loads(pickle.dumps({"x": laughs}, 2))["x"]
    for bad in (doubled + b".", key_bomb, b"\x80\x02Nr\xff\xff\xff\xffh\x00."):
        with pytest.raises(CheckpointError):
            restricted_pickle.loads(bad)
    assert time.perf_counter() - start < 60  # opened up they would take years


def test_false_sizes() -> None:
    huge = PYTHON_2.replace(b"K\x02\x85cnumpy", b"J\xff\xff\xff\x7f\x85cnumpy")
    record = PYTHON_2.replace(b"U\x02f8", b"U\x03V99")
    objects = PYTHON_2.replace(b"U\x02f8", b"U\x02O8")
    for bad in (huge, record, objects, b"\x80\x02}(" + b"U\x01aN" * 9 + b"."):
        with pytest.raises(CheckpointError):
            restricted_pickle.loads(bad)
    wide = sparse.csc_matrix((5, 3))
    wide._shape = (1 << 20, 1 << 20)
    with pytest.raises(CheckpointError, match="sparse"):
        restricted_pickle.loads(pickle.dumps({"m": wide}, 2))


def test_cut_short_anywhere() -> None:
    whole = pickle.dumps({"m": sparse.csc_matrix(np.eye(3)), "a": np.arange(4.0)}, 2)
    for length in range(len(whole)):
        with pytest.raises(CheckpointError):
            restricted_pickle.loads(whole[:length])


def test_any_changed_byte_is_data_or_an_error() -> None:
    whole = pickle.dumps({"m": sparse.csc_matrix(np.eye(3)), "a": np.arange(4.0)}, 2)
    random = np.random.default_rng(0)
    for _ in range(1500):
        changed = bytearray(whole)
        changed[random.integers(len(whole))] = random.integers(256)
        try:
            restricted_pickle.loads(bytes(changed))
        except CheckpointError:
            continue


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pkl"):
        restricted_pickle.load(tmp_path / "none.pkl")
