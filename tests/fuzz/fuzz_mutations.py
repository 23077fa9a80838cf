"""Damage to files as hypothesis strategies: bytes, sizes in headers, parts moved and mixed."""

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

# Whole numbers that break sums: the ends of every width, and their neighbours.
EDGES = (0, 1, 2, 3, 4, 7, 8, 16, 64, 127, 128, 255, 256, 1000, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
         0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
HEADER = 512
LARGEST = 400_000

_operation = st.tuples(
    st.sampled_from(
        "bit byte number number number cut remove double insert zeros swap splice repeat".split()
    ),
    st.sampled_from(("header", "anywhere", "name")),
    st.integers(0, 2**32 - 1),
)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after one to eight operations."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for kind, where, number in draw(st.lists(_operation, min_size=1, max_size=8)):
        chance = random.Random(number)
        other = chance.choice(seeds)
        _apply(content, kind, _place(content, where, chance), chance, other)
        del content[LARGEST:]
    mended = bytes(content)
    return _with_right_checksums(mended) if draw(st.booleans()) else mended


def _place(content: bytearray, where: str, chance: random.Random) -> int:
    """Where to damage: near the start, near a four-letter name of a chunk, or anywhere."""
    if not content:
        return 0
    if where == "name":
        names = [match.start() for match in re.finditer(rb"[A-Za-z0-9 ]{4}", content[:20_000])]
        if names:
            return max(0, min(len(content) - 1, chance.choice(names) + chance.randint(-8, 40)))
    most = min(HEADER, len(content)) if where == "header" else len(content)
    return chance.randrange(most)


def _apply(content: bytearray, kind: str, at: int, chance: random.Random, other: bytes) -> None:
    length = chance.choice((1, 2, 4, 8, 33, 200, 1500))
    part = bytes(content[at : at + length])
    if not content:
        content += other[:length]
    elif kind == "bit":
        content[at] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        content[at] = chance.randrange(256)
    elif kind == "number":
        width = chance.choice(list(WIDTHS))
        value = chance.choice((*EDGES, chance.getrandbits(8 * width))) % (1 << (8 * width))
        content[at : at + width] = struct.pack(chance.choice("<>") + WIDTHS[width], value)
    elif kind == "cut":
        del content[at:]
    elif kind == "remove":
        del content[at : at + length]
    elif kind == "double":
        content[at:at] = part
    elif kind == "insert":
        content[at:at] = chance.randbytes(length)
    elif kind == "zeros":
        content[at : at + length] = bytes(length)
    elif kind == "swap":
        to = chance.randrange(len(content))
        content[at : at + length], content[to : to + length] = content[to : to + length], part
    elif kind == "splice":
        start = chance.randrange(len(other) or 1)
        content[at : at + length] = other[start : start + chance.choice((length, len(other)))]
    elif kind == "repeat":
        content[at:at] = part * chance.choice((2, 100, 2000))


def _with_right_checksums(content: bytes) -> bytes:
    """PNG: every chunk's checksum made to fit, so that what lies in it is looked at."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    out, at = [content[:8]], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        if at + 12 + length > len(content):
            break
        body = content[at + 4 : at + 8 + length]
        out += [content[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join([*out, content[at:]])


_small = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20),
    st.sampled_from(["..", "/etc/passwd", "audio/../../x", "\0", "audio/a", "1" * 64, 10**400]),
)  # fmt: skip
values = st.recursive(
    _small,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def changed_tree(draw: st.DrawFn, tree: Any) -> Any:
    """A JSON or YAML value with one to four places replaced, removed or doubled."""
    for _ in range(draw(st.integers(1, 4))):
        tree = _changed(draw, tree)
    return tree


def _changed(draw: st.DrawFn, tree: Any) -> Any:
    inner = isinstance(tree, dict | list) and len(tree) and draw(st.integers(0, 5))
    if not inner:
        return draw(values)
    if isinstance(tree, dict):
        key = draw(st.sampled_from(sorted(tree, key=str)))
        rest = {name: value for name, value in tree.items() if name != key}
        how = draw(st.integers(0, 9))
        if how == 0:
            return rest
        if how == 1:
            return {**rest, draw(st.text(max_size=12)): tree[key]}
        return {**rest, key: _changed(draw, tree[key])}
    place = draw(st.integers(0, len(tree) - 1))
    how = draw(st.integers(0, 9))
    if how == 0:
        return tree[:place] + tree[place + 1 :]
    if how == 1:
        return tree * draw(st.sampled_from((2, 50)))
    return [*tree[:place], _changed(draw, tree[place]), *tree[place + 1 :]]


def as_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def from_zip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@st.composite
def one_file_damaged(draw: st.DrawFn, files: dict[str, bytes]) -> bytes:
    """A case of several files, one or two of them damaged, swapped or missing."""
    case = dict(files)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(files)))
        how = draw(st.integers(0, 9))
        if how == 0:
            case.pop(name, None)
        elif how == 1:
            case[name] = files[draw(st.sampled_from(sorted(files)))]
        elif name.endswith(".npz") and how < 7:
            case[name] = draw(_npz(files[name]))
        else:
            case[name] = draw(damaged([files[name]]))
    return as_zip(case)


@st.composite
def _npz(draw: st.DrawFn, content: bytes) -> bytes:
    """An npz whose zip is whole and whose members are not."""
    members = from_zip(content)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(members)))
        members[name] = draw(st.one_of(damaged([members[name]]), _npy(members[name])))
    return as_zip(members)


@st.composite
def _npy(draw: st.DrawFn, content: bytes) -> bytes:
    """An npy with a header of other numbers, shapes or syntax."""
    length = int.from_bytes(content[8:10], "little")
    descr = draw(
        st.sampled_from(
            ["<f4", "<f8", ">f4", "|b1", "<i8", "|O", "<U4", "|V9", "<c8", "<M8[s]", "x"]
        )
    )
    shape = draw(
        st.one_of(
            st.lists(
                st.sampled_from([-1, 0, 1, 3, 126, 478, 2**31, 2**63, 10**30]), max_size=5
            ).map(tuple),
            values,
        )
    )
    header = f"{{'descr': {descr!r}, 'fortran_order': {draw(st.booleans())}, 'shape': {shape!r}}}"
    text = draw(st.sampled_from([header, header[:-1], "(" * 3000, header + "\0", "{" + header]))
    text = text.encode()
    version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"]))
    wide = 2 if version == b"\x01\x00" else 4
    size = len(text).to_bytes(wide, "little") if len(text) < 60_000 else bytes(wide)
    return content[:6] + version + size + text + content[10 + length :]
