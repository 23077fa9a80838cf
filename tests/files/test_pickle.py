import collections
import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mdth import guard
from mdth.errors import CheckpointError
from mdth.files import pickle as model_pickle
from tests.support.bomb import Bomb
from tests.support.raising import raises

# As Python 2 with `latin1` strings wrote it: the bytes of an array in a BINSTRING.
PYTHON_2 = (
    b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00"
    b"\x85U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f8K\x00K\x01\x87Rq\x06(K\x03U\x01<"
    b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10"
    + np.array([1.5, -2.0]).tobytes()
    + b"tbs."
)


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(guard.MEMORY_GB, "2")
    with guard.limits():
        yield


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back(protocol: int) -> None:
    given = {
        "real": np.random.default_rng(0).normal(size=(4, 3)),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "big_end": np.arange(3, dtype=">u2"), "flags": np.array([True, False]),
        "none": np.zeros((0, 3)), "style": "lbs", "scalar": np.float64(2.5),
    }  # fmt: skip
    found = model_pickle.loads(pickle.dumps(given, protocol))
    for key, value in given.items():
        np.testing.assert_array_equal(found[key], value)
    assert found["real"].dtype == np.float64 and found["columns"].dtype == np.int32


def test_python_2() -> None:
    np.testing.assert_array_equal(model_pickle.loads(PYTHON_2)["a"], [1.5, -2])


@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
@pytest.mark.parametrize("name", ["matrix", "array"])
def test_sparse_becomes_dense(kind: str, name: str) -> None:
    dense = np.random.default_rng(0).normal(size=(5, 9)) * (np.arange(9) % 3 == 0)
    found = model_pickle.loads(pickle.dumps({"m": getattr(sparse, f"{kind}_{name}")(dense)}, 2))
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
        setattr(module, name, type(name, (Ch,), {"__module__": path, "__qualname__": name}))
        monkeypatch.setitem(sys.modules, path, module)
    whole = chumpy["chumpy.ch"].Ch(x=np.asfortranarray(np.arange(12.0).reshape(4, 3)))
    part = chumpy["chumpy.reordering"].Select(
        a=whole, idxs=np.array([0, 1, 3, 4]), preferred_shape=(2, 2)
    )
    found = model_pickle.loads(pickle.dumps({"whole": whole, "part": part}, protocol))
    np.testing.assert_array_equal(found["whole"], np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(found["part"], [[0, 1], [3, 4]])


def test_parameters_in_a_numpy_file(tmp_path: Path) -> None:
    path = tmp_path / "params.npy"
    np.save(path, {"pose": np.arange(15.0), "trans": np.zeros(3)})  # type: ignore[arg-type]
    np.testing.assert_array_equal(model_pickle.load(path)["pose"], np.arange(15))


@pytest.mark.parametrize(("bomb", "name"), [
    (Bomb(os.system, "touch bomb"), "system"),
    (Bomb(eval, "open('bomb', 'w')"), "__builtin__.eval"),
    (Bomb(getattr, "a", "b"), "__builtin__.getattr"), (Bomb(np.load, "bomb"), "load"),
    (collections.deque([1]), "collections.deque"), (Path("bomb"), "pathlib"),
])  # fmt: skip
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_other_names_stop_it(
    bomb: Any, name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps({"v_template": [bomb]}, protocol))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=name) as caught:
        model_pickle.load(path)
    assert "generic_model.pkl" in str(caught.value)
    assert not (tmp_path / "bomb").exists()


def pushed(name: str) -> bytes:
    """The step that puts a named thing on the stack."""
    module, _, name = name.rpartition(".")
    return f"c{module}\n{name}\n".encode()


ARRAY = pushed("numpy.ndarray")


@pytest.mark.parametrize("steps", [
    # Other ways to name and to call what is not ours.
    b"(S'touch bomb'\nios\nsystem\n.", b"(" + pushed("os.system") + b"S'touch bomb'\no.",
    b"U\x02osU\x06system\x93.", b"U\x05numpyU\x10ndarray.__init__\x93.",
    b"U\x05numpyU\x10ndarray.__dict__\x93.", pushed("mdth.files.pickle.load") + b"U\x04bomb\x85R.",
    pushed("copyreg.add_extension") + b").", pushed("functools.partial") + b").",
    pushed("builtins.object.__reduce_ex__") + b").",
    # Ids that mean something elsewhere.
    b"Pbomb\n.", b"K\x01Q.", b"\x97.", b"\x97\x98.",
    # Calls of what is no class, with other arguments, or of nothing.
    b"U\x06systemU\x0atouch bomb\x85R.", b"U\x06systemU\x0atouch bomb\x85\x81.",
    b"U\x06system)}\x92.", ARRAY + b")R)R.", ARRAY + b"))}U\x01aK\x01s\x92.",
    pushed("numpy.core.multiarray._reconstruct") + b")R.",
    pushed("numpy.core.multiarray._reconstruct") + b"U\x06system\x85R.",
    pushed("_codecs.encode") + b"U\x01aU\x03hex\x86R.",
    pushed("_codecs.encode") + b"U\x01aU\x0crot13_system\x86R.",
    # The state of a class: it would stay for all files to come.
    ARRAY + b"}U\x05valueK\x01sb.", ARRAY + b"N}U\x05valueK\x01s\x86b.",
    ARRAY + b"N}U\x0c__setstate__" + pushed("numpy.dtype") + b"s\x86b.",
    pushed("_codecs.encode") + b"N}U\x07__new__" + pushed("numpy.dtype") + b"s\x86b.",
    pushed("collections.OrderedDict") + b"N}U\x07__new__K\x01s\x86b.",
    b"}N}U\x09__class__" + ARRAY + b"s\x86b.",
    # A number type whose bytes are said to be pointers (numpy believes it, and crashes).
    pushed("numpy.core.multiarray._reconstruct") + ARRAY + b"K\x00\x85U\x01b\x87R(K\x01K\x01\x85"
    + pushed("numpy.dtype") + b"U\x02V8\x85R(K\x03U\x01|NU\x01a\x85}U\x01a"
    + pushed("numpy.dtype") + b"U\x01O\x85RK\x00\x86sK\x08K\x01K\x00tb\x89U\x08AAAAAAAAtb.",
])  # fmt: skip
def test_nothing_runs(steps: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = {kind: dict(vars(kind)) for kind in model_pickle._CLASSES.values()}
    raises(CheckpointError, None, model_pickle.loads, b"\x80\x04" + steps)
    assert not list(tmp_path.iterdir())
    assert before == {kind: dict(vars(kind)) for kind in model_pickle._CLASSES.values()}


def test_false_sizes() -> None:
    huge = PYTHON_2.replace(b"K\x02\x85cnumpy", b"J\xff\xff\xff\x7f\x85cnumpy")
    record = PYTHON_2.replace(b"U\x02f8", b"U\x03V99")
    objects = PYTHON_2.replace(b"U\x02f8", b"U\x02O8")
    endless: list[object] = []
    endless.append(endless)
    for bad in (huge, record, objects, pickle.dumps({"a": endless})):
        raises(CheckpointError, None, model_pickle.loads, bad)


def test_cut_short_anywhere() -> None:
    whole = pickle.dumps({"m": sparse.csc_matrix(np.eye(3)), "a": np.arange(4.0)}, 2)
    for length in range(len(whole)):
        raises(CheckpointError, None, model_pickle.loads, whole[:length])


def test_any_changed_byte_is_data_or_an_error() -> None:
    whole = pickle.dumps({"m": sparse.csc_matrix(np.eye(3)), "a": np.arange(4.0)}, 2)
    random = np.random.default_rng(0)
    for _ in range(1500):
        changed = bytearray(whole)
        changed[random.integers(len(whole))] = random.integers(256)
        try:
            model_pickle.loads(bytes(changed))
        except CheckpointError:
            continue


def test_missing_file(tmp_path: Path) -> None:
    raises(CheckpointError, r"none\.pkl", model_pickle.load, tmp_path / "none.pkl")
