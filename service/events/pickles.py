"""Reads Jasmin's pickles without running anything: what they say becomes plain stand-ins.

A pickle is a program, and Python's own reader runs it: whoever can publish to the broker could
run anything here. This reader is a small interpreter of its own, for just the instructions that
Python's pickler writes for Jasmin's objects (protocols 2 to 5; Jasmin's default is 2). None of them
imports, calls or creates a class: where a pickle names one, and calls it, the name and the
arguments are kept. Every instruction takes a bounded time and adds a bounded number of small
objects, so that time and memory grow with the length of the pickle and nothing else.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any, Final

from service.events.records import Refused
from service.events.stand_ins import Call, Global, Object, named

# An integer has so many octets at most; larger ones cost more than they are long.
_LONGEST_INTEGER: Final = 8
_PROTOCOLS: Final = range(2, 6)

_length = struct.Struct("<I").unpack_from


def load(data: bytes) -> object:
    """Return what a pickle says.

    That is: None, texts, octets, numbers, tuples, lists (also for sets), dicts whose keys are
    texts, Global, Call and Object; they may contain each other in circles.

    Raises:
        Refused: it is cut short, or has anything in it that Jasmin's have not.
    """
    try:
        if data[:1] != b"\x80" or data[1] not in _PROTOCOLS:
            raise Refused("no pickle of protocol 2 to 5 (pickle_protocol in jasmin.cfg)")
        return _Machine(data).run()
    except (IndexError, KeyError, ValueError, struct.error):
        # Nothing of it is repeated, as that may be a message's text.
        raise Refused("its pickle is cut short or damaged") from None


class _Machine:
    """The stack, marks and memo of one pickle.

    An instruction is given the machine and where its argument begins, and returns where the next
    instruction is. Whoever goes beyond the end finds no next one there.
    """

    __slots__ = ("data", "marks", "memo", "stack")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        """Follow the instructions to the last one. The commonest are spared a call."""
        data, stack, memo = self.data, self.stack, self.memo
        at = _PROTOCOL_OCTETS
        while (code := data[at]) != _STOP:
            at += 1
            if code == _BINPUT:
                memo[data[at]] = stack[-1]
                at += 1
            elif code == _BINUNICODE:
                start = at + 4
                at = start + _length(data, at)[0]
                stack.append(data[start:at].decode())
            elif code == _BINGET:
                stack.append(memo[data[at]])
                at += 1
            else:
                at = _INSTRUCTIONS[code](self, at)
        if len(stack) != 1 or self.marks or at != len(data) - 1:
            raise ValueError
        return stack[0]

    def pop(self, count: int) -> list[Any]:
        """Take so many values off the stack."""
        values = self.stack[-count:]
        if len(values) < count:
            raise IndexError
        del self.stack[-count:]
        return values

    def pop_marked(self) -> list[Any]:
        """Take off the stack what is above the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def line(self, at: int) -> tuple[str, int]:
        """Return the text up to the end of the line, and where the next line begins."""
        end = self.data.index(b"\n", at)
        return self.data[at:end].decode(), end + 1


_Instruction = Callable[[_Machine, int], int]


def _push(value: object) -> _Instruction:
    def push(machine: _Machine, at: int) -> int:
        machine.stack.append(value)
        return at

    return push


def _push_new(kind: type) -> _Instruction:
    def push_new(machine: _Machine, at: int) -> int:
        machine.stack.append(kind())
        return at

    return push_new


def _integer(size: int, *, signed: bool = False) -> _Instruction:
    def integer(machine: _Machine, at: int) -> int:
        end = at + size
        machine.stack.append(int.from_bytes(machine.data[at:end], "little", signed=signed))
        return end

    return integer


def _octets(size: int, convert: Callable[[bytes], object]) -> _Instruction:
    def octets(machine: _Machine, at: int) -> int:
        start = at + size
        end = start + int.from_bytes(machine.data[at:start], "little")
        machine.stack.append(convert(machine.data[start:end]))
        return end

    return octets


def _tuple_of(count: int) -> _Instruction:
    def tuple_of(machine: _Machine, at: int) -> int:
        machine.stack.append(tuple(machine.pop(count)))
        return at

    return tuple_of


def _long(machine: _Machine, at: int) -> int:
    size = machine.data[at]
    if size > _LONGEST_INTEGER:
        raise Refused(f"its pickle has an integer of {size} octets")
    return _integer(size, signed=True)(machine, at + 1)


def _float(machine: _Machine, at: int) -> int:
    machine.stack += struct.unpack_from(">d", machine.data, at)
    return at + 8


def _frame(_: _Machine, at: int) -> int:
    return at + 8  # how long it is matters only to who reads from a file


def _mark(machine: _Machine, at: int) -> int:
    machine.marks.append(len(machine.stack))
    return at


def _tuple(machine: _Machine, at: int) -> int:
    machine.stack.append(tuple(machine.pop_marked()))
    return at


def _append(machine: _Machine, at: int) -> int:
    return _extend(machine, machine.pop(1), at)


def _appends(machine: _Machine, at: int) -> int:
    return _extend(machine, machine.pop_marked(), at)


def _extend(machine: _Machine, values: list[Any], at: int) -> int:
    if type(machine.stack[-1]) is not list:
        raise ValueError
    machine.stack[-1] += values
    return at


def _set_item(machine: _Machine, at: int) -> int:
    return _update(machine, machine.pop(2), at)


def _set_items(machine: _Machine, at: int) -> int:
    return _update(machine, machine.pop_marked(), at)


def _update(machine: _Machine, items: list[Any], at: int) -> int:
    target, keys = machine.stack[-1], items[::2]
    # Tuples of tuples may take forever to hash; a text takes as long as it is.
    if type(target) is not dict or not _TEXTS.issuperset(map(type, keys)):
        raise ValueError
    target.update(zip(keys, items[1::2], strict=True))
    return at


def _put(machine: _Machine, at: int) -> int:
    machine.memo[_length(machine.data, at)[0]] = machine.stack[-1]
    return at + 4


def _get(machine: _Machine, at: int) -> int:
    machine.stack.append(machine.memo[_length(machine.data, at)[0]])
    return at + 4


def _memoize(machine: _Machine, at: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return at


def _global(machine: _Machine, at: int) -> int:
    module, at = machine.line(at)
    name, at = machine.line(at)
    machine.stack.append(named(module, name))
    return at


def _stack_global(machine: _Machine, at: int) -> int:
    module, name = machine.pop(2)
    if type(module) is not str or type(name) is not str:
        raise ValueError
    machine.stack.append(named(module, name))
    return at


def _apply(kind: type[Call | Object]) -> _Instruction:
    def apply(machine: _Machine, at: int) -> int:
        function, arguments = machine.pop(2)
        if type(function) is not Global or type(arguments) is not tuple:
            raise ValueError
        machine.stack.append(kind(function, arguments))
        return at

    return apply


def _build(machine: _Machine, at: int) -> int:
    target, state = machine.stack[-2], machine.stack.pop()
    if type(state) is not dict:
        raise ValueError
    if type(target) is Object:
        target.state = state
    elif type(target) is not Call:  # as a time zone is made; nobody asks what is in one
        raise ValueError
    return at


def _refuse(machine: _Machine, at: int) -> int:
    name = _NAMES.get(chr(machine.data[at - 1]), "no instruction")
    raise Refused(f"its pickle has what Jasmin's have not: {name}")


_PROTOCOL_OCTETS: Final = 2
_STOP: Final = ord(".")
_BINPUT: Final = ord("q")
_BINGET: Final = ord("h")
_BINUNICODE: Final = ord("X")
_TEXTS: Final = frozenset({str})
_NAMES: Final = {opcode.code: opcode.name for opcode in pickletools.opcodes}

# All other instructions that there are, by their names in Python's pickletools.
_TABLE: Final[dict[str, _Instruction]] = {
    "NONE": _push(None),
    "NEWTRUE": _push(True),
    "NEWFALSE": _push(False),
    "BININT1": _integer(1),
    "BININT2": _integer(2),
    "BININT": _integer(4, signed=True),
    "LONG1": _long,
    "BINFLOAT": _float,
    "SHORT_BINUNICODE": _octets(1, bytes.decode),
    "BINBYTES": _octets(4, bytes),
    "SHORT_BINBYTES": _octets(1, bytes),
    "EMPTY_TUPLE": _push(()),
    "MARK": _mark,
    "TUPLE": _tuple,
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "EMPTY_LIST": _push_new(list),
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_SET": _push_new(list),
    "ADDITEMS": _appends,
    "EMPTY_DICT": _push_new(dict),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "LONG_BINPUT": _put,
    "LONG_BINGET": _get,
    "MEMOIZE": _memoize,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _apply(Call),
    "NEWOBJ": _apply(Object),
    "BUILD": _build,
    "FRAME": _frame,
}
_INSTRUCTIONS: Final = [_TABLE.get(_NAMES.get(chr(code), ""), _refuse) for code in range(256)]
