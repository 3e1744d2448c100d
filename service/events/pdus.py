"""Reads the SubmitSM of the library smpp.pdu: addresses, parts, and what the message says.

As Jasmin pickles them (SMPP 3.4 section 4.4.1, submit_sm): ``params`` has the fields by their
names, and each part of a long message has the next one as its attribute ``nextPdu``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gsm0338 import Codec

from service.events import fields
from service.events.records import Refused
from service.events.stand_ins import Call, Object

Params = Mapping[str, object]

# As many as a concatenated message can have: its header counts them in one octet.
_MOST_PARTS: Final = 255
# So many parts of a short message, or one message_payload (SMPP 3.4 section 5.3.2.32).
_LONGEST_TEXT: Final = 65_535
# A user data header says in its first octet how long it is (3GPP TS 23.040 section 9.2.3.24).
_LENGTH_OCTET: Final = 1

# Text encodings by data_coding (SMPP 3.4 section 5.2.19).
_ENCODINGS: Final = {1: "ascii", 3: "latin-1", 6: "iso8859-5", 7: "iso8859-8", 8: "utf-16-be"}
_GSM: Final[Callable[[bytes, str], tuple[str, int]]] = Codec().decode
# The values of smpp.pdu's enumeration DataCodingDefault, which counts its names from 1.
_CODINGS: Final = dict(enumerate((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14), start=1))
_UDHI_INDICATOR_SET: Final = 1
# The GSM features of an esm_class are two bits (SMPP 3.4 section 5.2.12).
_MOST_FEATURES: Final = 2
_REPLACED: Final = str.maketrans(dict.fromkeys(fields.UNSTORABLE, "\N{REPLACEMENT CHARACTER}"))


def parts(body: object) -> list[Params]:
    """Return the fields of a SubmitSM, and those of the further parts of a long message.

    Raises:
        Refused: it is something else, or goes in circles.
    """
    chain: list[Params] = []
    while body is not None or not chain:
        if not isinstance(body, Object) or body.kind.name != "SubmitSM":
            raise Refused("its pickle is no SubmitSM")
        params = body.state.get("params")
        if not isinstance(params, dict):
            raise Refused("its SubmitSM has no params")
        chain.append(params)
        if len(chain) > _MOST_PARTS:
            raise Refused(f"it has more than {_MOST_PARTS} parts")
        body = body.state.get("nextPdu")
    return chain


def address(params: Params, name: str) -> str:
    """Return source_addr or destination_addr; empty where there is none.

    Raises:
        Refused: it is no text, or cannot be stored.
    """
    text = _octets(params, name).decode(errors="backslashreplace").strip()
    fields.check_storable(f"its {name}", [text])
    return text


def text(chain: list[Params]) -> str:
    """Return what a message says, its parts put together; what is no text as escapes.

    Raises:
        Refused: it is longer than a message can be, as where all parts are the same long one.
    """
    coding = _data_coding(chain[0].get("data_coding"))
    octets = b"".join(map(_user_data, chain))
    if len(octets) > _LONGEST_TEXT:
        raise Refused(f"its text is longer than {_LONGEST_TEXT:,} octets")
    if coding in _ENCODINGS:
        decoded = octets.decode(_ENCODINGS[coding], "replace")
    elif coding == 0:
        decoded, _ = _GSM(octets, "replace")
    else:
        decoded = octets.decode("ascii", "backslashreplace")
    return decoded.translate(_REPLACED)


def _user_data(params: Params) -> bytes:
    """Return what one part says, without its user data header."""
    octets = _octets(params, "short_message") or _octets(params, "message_payload")
    if octets and _has_header(params.get("esm_class")):
        return octets[_LENGTH_OCTET + octets[0] :]
    return octets


def _has_header(esm_class: object) -> bool:
    if not isinstance(esm_class, Object) or len(esm_class.arguments) != 3:
        return False
    features: Any = esm_class.arguments[2]
    if isinstance(features, Call):  # of set, until protocol 4
        features = features.arguments[0] if features.arguments else None
    if not isinstance(features, list):
        return False
    if len(features) > _MOST_FEATURES:
        raise Refused(f"its esm_class has more than {_MOST_FEATURES} features")
    return any(
        isinstance(feature, Call) and feature.arguments == (_UDHI_INDICATOR_SET,)
        for feature in features
    )


def _data_coding(value: object) -> int | None:
    """Return a data_coding as on the wire: Jasmin's HTTP API keeps the number, its SMPP server an
    object; None where that is none of the plain encodings.
    """
    if isinstance(value, Object):
        value = value.state.get("schemeData")
    if isinstance(value, Call) and value.function.name == "DataCodingDefault":
        number = value.arguments[0] if value.arguments else None
        return _CODINGS.get(number) if isinstance(number, int) else None
    return value if isinstance(value, int) else None


def _octets(params: Params, name: str) -> bytes:
    value = params.get(name)
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Call) and value.function.name in {"encode", "bytes"}:
        return _called(value, name)
    raise Refused(f"its {name} is no text")


def _called(value: Call, name: str) -> bytes:
    """Return the octets that protocol 2 writes as a call: of a text in Latin-1, or of nothing."""
    if not value.arguments:
        return b""
    given, *encoding = value.arguments
    if not isinstance(given, str) or encoding != ["latin1"]:
        raise Refused(f"its {name} is no text")
    try:
        return given.encode("latin-1")
    except UnicodeEncodeError:
        raise Refused(f"its {name} is no text") from None
