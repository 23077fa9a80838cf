"""The pickle machine, followed by hand: a file's names are looked up among ours, never called."""

import pickletools
from collections.abc import Callable
from typing import Any

from mdth.restricted_pickle.objects import Name, Thing, dict_key

MAX_OPCODES = 4_000_000
"""VOCASET's table of 123,000 frames takes up to ten each."""


class Machine:
    """The pickle virtual machine, without the part that calls what a file names."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """The object a pickle describes."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > MAX_OPCODES:
                raise ValueError("more steps than a model file needs")
            if opcode.name == "STOP":
                (found,) = self._stack
                return found
            self._step(opcode.name, argument)
        raise ValueError("no end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _PUSHED:
            self._stack.append(argument)
        elif name in _IGNORED:
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            place = len(self._memo) if name == "MEMOIZE" else argument
            self._memo[int(place)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._memo[int(argument)])
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        action = _ACTIONS.get(name)
        if action is None:
            raise ValueError(f"the step {name}, which no model file needs")
        action(self, argument)

    def mark(self, _: Any = None) -> None:
        """Remember how much is on the stack."""
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[Any]:
        """All parts since the last mark, taken off the stack."""
        start = self._marks.pop()
        if start > len(self._stack):
            raise ValueError("parts in a wrong order")
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def last(self, count: int) -> list[Any]:
        """The last parts, taken off the stack."""
        if count > len(self._stack):
            raise ValueError("parts are missing")
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def dict_since_mark(self, _: Any) -> None:
        """A dict of all since the last mark."""
        entries = self.since_mark()
        self._stack.append({})
        self.set_items(entries)

    def set_items(self, entries: list[Any]) -> None:
        """Keys and values in turn, into the dict on the stack."""
        target = self._stack[-1]
        if not isinstance(target, dict) or len(entries) % 2:
            raise ValueError("entries of no dict")
        for key, value in zip(entries[::2], entries[1::2], strict=True):
            target[dict_key(key)] = value

    def append(self, entries: list[Any]) -> None:
        """Entries, into the list on the stack."""
        target = self._stack[-1]
        if not isinstance(target, list):
            raise ValueError("entries of no list")
        target.extend(entries)

    def name(self, argument: str) -> None:
        """A name of protocol 0 to 3."""
        module, _, name = argument.partition(" ")
        self._stack.append(Name(module, name))

    def stack_name(self, _: Any) -> None:
        """A name of protocol 4."""
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(Name(str(module), str(name)))

    def make(self, _: Any) -> None:
        """What a name makes of its arguments."""
        arguments, name = self._stack.pop(), self._stack.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of no name")
        self._stack.append(name.make(*arguments))

    def set_state(self, _: Any) -> None:
        """The state of the object on the stack."""
        state, target = self._stack.pop(), self._stack[-1]
        # (dict, slots) is how classes with slots are stored.
        if isinstance(target, Thing):
            target.state = state
        elif not isinstance(target, dict):
            raise ValueError("a state of no object")


_PUSHED = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_IGNORED = {"PROTO", "FRAME"}
_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine.mark,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    # Sets hold nothing we look for; as lists they need no hashing.
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "ADDITEMS": lambda machine, _: machine.append(machine.since_mark()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "DICT": Machine.dict_since_mark,
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.stack_name,
    "REDUCE": Machine.make,
    "NEWOBJ": Machine.make,
    "BUILD": Machine.set_state,
}
