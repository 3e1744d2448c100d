"""Pickles that do harm to whoever loads them, and pickles that are only broken."""

from __future__ import annotations

import os
import pickle
import pickletools
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from service.events.message import Message
from tests.support.mutations import genuine, mutants

SIZE = 65_000  # as long as a body may be by default
BILL = "submit_sm_bill"
START = b"\x80\x02"
USER = b"cjasmin.routing.jasminApi\nUser\n"


class Command:
    """Runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self._command,)


def executing(canary: Path) -> dict[str, bytes]:
    """Return pickles of which each makes Python's own reader create a file."""
    touch = f"touch {canary}"
    text = touch.encode()
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()".encode()

    def unicode(octets: bytes) -> bytes:
        return b"X" + struct.pack("<I", len(octets)) + octets

    return {
        **{f"os.system, protocol {p}": pickle.dumps(Command(touch), p) for p in range(6)},
        "within a dict": pickle.dumps({"params": [Command(touch)]}, 2),
        "eval": START + b"cbuiltins\neval\n" + unicode(code) + b"\x85R.",
        "eval of Python 2": START + b"c__builtin__\neval\n" + unicode(code) + b"\x85R.",
        "a dotted name": b"\x80\x04\x8c\x02os\x8c\x0epath.os.system\x93"
        + unicode(text)
        + b"\x85R.",
        "getattr": START
        + b"cbuiltins\ngetattr\ncos\npath\n"
        + unicode(b"os")
        + b"\x86R0cposix\nsystem\n"
        + unicode(text)
        + b"\x85R.",
        "what a call returned is called": START
        + b"coperator\nmethodcaller\n"
        + unicode(b"system")
        + unicode(text)
        + b"\x86Rcimportlib\nimport_module\n"
        + unicode(b"os")
        + b"\x85R\x85R.",
        "INST": b"(S" + repr(touch).encode() + b"\nios\nsystem\n.",
        "OBJ": START + b"(cposix\nsystem\n" + unicode(text) + b"o.",
        "__setstate__": START
        + b"cargparse\nNamespace\n)\x81}"
        + unicode(b"__setstate__")
        + b"cposix\nsystem\nsb"
        + unicode(text)
        + b"b.",
    }


def bombs() -> dict[str, bytes]:
    """Return pickles that are meant to cost time or memory, or that are broken."""
    pairs_of_pairs = b")q\x00" + b"h\x00\x86q\x00" * 60
    big = b"X" + struct.pack("<I", SIZE // 2) + b"x" * (SIZE // 2)
    encode = b"c_codecs\nencode\nq\x00" + big + b"q\x01X\x06\x00\x00\x00latin1q\x02\x86R"
    return {
        "nothing": b"",
        "100 MB of nothing": bytes(100_000_000),
        "a memo of gigabytes": START + b"Nr\xff\xff\xff\x7f.",
        "an integer of megabytes": START
        + b"\x8b"
        + struct.pack("<I", SIZE)
        + b"\x7f" * SIZE
        + b".",
        "an integer of many octets": START + b"\x8a\xff" + b"\x7f" * 255 + b".",
        "an integer of many digits": START + b"L" + b"9" * SIZE + b"L\n.",
        "a hash that never ends": START + b"}(" + pairs_of_pairs + b"Nu.",
        "nested lists": START + b"]" * (SIZE // 2) + b"a" * (SIZE // 2 - 1) + b".",
        "nested tuples": START + b")" + b"\x85" * SIZE + b".",
        "nested marks": START + b"(" * (SIZE // 2) + b"t" * (SIZE // 2) + b".",
        "nested calls": START + USER + b"q\x00)Rq\x01" + b"h\x00h\x01\x85Rq\x01" * (SIZE // 9),
        "texts again and again": START + b"](" + encode + b"h\x00h\x01h\x02\x86R" * 3000 + b"e.",
        "persistent id": START + b"Pid\n.",
        "binary persistent id": START + b"NQ.",
        "extension 1": START + b"\x82\x01.",
        "extension 2": START + b"\x83\x01\x00.",
        "extension 4": START + b"\x84\x01\x00\x00\x00.",
        "out of band buffer": b"\x80\x05\x97.",
        "read-only buffer": b"\x80\x05N\x98.",
        "octets of exabytes": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "more octets of exabytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "a text of exabytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "a text of gigabytes": START + b"X\xff\xff\xff\xffx.",
        "octets of gigabytes": START + b"B\xff\xff\xff\xffx.",
        "no end": START + b"N" * SIZE,
        "more than one value": START + b"NN.",
        "a mark without its end": START + b"(N.",
        "an end without its mark": START + b"Nt.",
        "more after its end": START + b"N.N.",
        "no such memo": START + b"h\x07.",
        "state of no object": START + b"}}b.",
        "state that is no dict": START + USER + b")\x81Nb.",
        "a number that is called": START + b"K\x01)R.",
        "a call of no arguments": START + USER + b"NR.",
        "a key that is no text": START + b"}K\x01K\x02s.",
        "a key without its value": START + b"}(X\x01\x00\x00\x00xu.",
        "a text that is no UTF-8": START + b"X\x02\x00\x00\x00\xff\xff.",
        "a name that is none": b"\x80\x04\x8c\x0cjasmin.tools\x8c\x03a.b\x93.",
        "a module that is none": START + b"cjasmin..tools\nx\n.",
        "a module that only begins like Jasmin": START + b"cjasminx\nx\n.",
        "a name of many octets again and again": names_again(b"jasmin." + b"a" * (SIZE // 2)),
        "a dotted name of many octets": names_again(b"jasmin" + b".a" * (SIZE // 4)),
        "something else": START + b"cjasmin.routing.jasminApi\nUser\n)\x81.",
        "a SubmitSM of nothing": START + b"csmpp.pdu.operations\nSubmitSM\n)\x81.",
        "a message that goes in circles": circle(),
        "one long text as every part": parts_alike(250, text=b"\x1b" * 30_000),
        "the same features in every part": parts_alike(250, features=b"N" * 50_000),
        "NEWOBJ_EX": b"\x80\x04csmpp.pdu.operations\nSubmitSM\n)}\x92.",
        "a call after a genuine beginning": genuine("submit")[0].body[:-1] + b"cos\nabort\n)R.",
        "protocol 1": genuine("submit")[0].body[2:],
        "protocol 6": b"\x80\x06" + genuine("submit")[0].body[2:],
    }


def names_again(module: bytes) -> bytes:
    """Return one long module name, and as many classes of it as fit."""
    text = b"X" + struct.pack("<I", len(module)) + module + b"q\x00"
    names = (f"n{number:04d}".encode() for number in range((SIZE - len(text)) // 10))
    return b"\x80\x04" + text + b"".join(b"h\x00\x8c\x05" + name + b"\x93" for name in names) + b"."


def circle() -> bytes:
    """Return a SubmitSM whose next part is itself."""
    return (
        START
        + b"csmpp.pdu.operations\nSubmitSM\n)\x81q\x00}(X\x06\x00\x00\x00params}"
        + b"X\x07\x00\x00\x00nextPduh\x00ub."
    )


def parts_alike(count: int, text: bytes = b"x", features: bytes = b"") -> bytes:
    """Return a message of parts that share a text, and the features of their esm_class."""
    params = (
        b"}(X\x10\x00\x00\x00destination_addrX\x01\x00\x00\x001"
        b"X\x0d\x00\x00\x00short_messageX" + struct.pack("<I", len(text)) + text
    )
    esm_class = b"csmpp.pdu.pdu_types\nEsmClass\n(NN](" + features + b"et\x81"
    params += b"X\x09\x00\x00\x00esm_class" + esm_class + b"uq\x01"
    part = b"h\x00)\x81}(h\x02h\x01"
    first = b"csmpp.pdu.operations\nSubmitSM\nq\x00)\x81}(X\x06\x00\x00\x00paramsq\x02" + params
    link = b"X\x07\x00\x00\x00nextPdu"
    return START + first + (link + part) * (count - 1) + b"ub" * count + b"."


def laborious() -> bytes:
    """Return a submission that is one, and takes as long to read as any of its size."""
    params = b"(X\x10\x00\x00\x00destination_addrX\x01\x00\x00\x001X\x01\x00\x00\x00x]("
    submission = b"csmpp.pdu.operations\nSubmitSM\n)\x81}X\x06\x00\x00\x00params}"
    return START + submission + params + b"]" * (SIZE - 200) + b"eusb."


def random_pickle(rng: random.Random) -> bytes:
    """Return instructions at random, each with an argument that it may have."""
    codes = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
    program = [b"\x80" + bytes([rng.choice((2, 3, 4, 5))])]
    for _ in range(rng.randint(1, 60)):
        code = rng.choice(codes)
        program += [code, _argument(rng, code)]
    return b"".join([*program, b"."])


def _argument(rng: random.Random, code: bytes) -> bytes:
    name = rng.choice((b"os", b"posix", b"builtins", b"jasmin.routing.Bills", b"smpp.pdu.x"))
    if code in b"ci":
        return name + b"\n" + rng.choice((b"system", b"eval", b"User", b"SubmitSM")) + b"\n"
    if code in b"qhK\x80\x82":
        return bytes([rng.randrange(4)])
    if code in b"X\x8cBCU":
        size = b"\x06" if code in b"\x8cCU" else struct.pack("<I", 6)
        return size + rng.choice((b"system", b"params", b"touch "))
    return rng.randbytes(rng.choice((0, 1, 2, 4, 8)))


def hostile(count: int, seed: int) -> Iterator[Message]:
    """Yield submissions that are made up or changed in body or bill; the same ones for a seed."""
    rng = random.Random(f"hostile-{seed}")
    originals = genuine("submit")
    for number, mutant in enumerate(mutants("submit", count, seed)):
        original = rng.choice(originals)
        if number % 3 == 0:
            yield msgspec.structs.replace(original, body=random_pickle(rng))
        elif number % 3 == 1:
            yield with_bill(original, rng.choice((random_pickle(rng), damaged(rng, original))))
        else:
            yield mutant


def damaged(rng: random.Random, original: Message) -> bytes:
    """Return the bill of a message with a few octets changed."""
    bill = bytearray(original.headers[BILL])
    for _ in range(rng.randint(1, 4)):
        bill[rng.randrange(len(bill))] ^= 1 << rng.randrange(8)
    return bytes(bill)


def with_bill(message: Message, bill: bytes) -> Message:
    """Return a submission with another bill."""
    return msgspec.structs.replace(message, headers={**message.headers, BILL: bytearray(bill)})
