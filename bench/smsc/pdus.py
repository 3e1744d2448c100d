"""The parts of PDUs that an operator looks at, and the receipts that it writes."""

from datetime import UTC, datetime
from typing import Any, Final

from smpplib import consts
from smpplib.command import Command

from bench.smsc.journal import SentReceipt
from bench.smsc.outcomes import Receipt

_UDH_CONCATENATED: Final = b"\x05\x00\x03"
_RECEIPT: Final = 0b0100  # esm_class of an SMSC's receipt: SMPP 3.4 section 5.2.12
# Message states of section 5.2.28.
_STATES: Final = {
    "ENROUTE": 1,
    "DELIVRD": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "ACCEPTD": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
}


def text_of(field: bytes | str | None) -> str:
    """Return a C-octet string as text."""
    return field.decode("latin-1") if isinstance(field, bytes) else field or ""


def part_of(submit: Command) -> tuple[int, int]:
    """Return which part of how many a submit_sm is, by its SAR parameters or its UDH."""
    if submit.sar_total_segments:
        return int(submit.sar_segment_seqnum), int(submit.sar_total_segments)
    text = submit.short_message or b""
    if submit.esm_class & consts.SMPP_GSMFEAT_UDHI and text.startswith(_UDH_CONCATENATED):
        return text[5], text[4]
    return 1, 1


def wants_receipt(submit: Command) -> bool:
    """Whether a submit_sm asks for a receipt (SMPP 3.4 section 5.2.17)."""
    return bool(submit.registered_delivery & consts.SMPP_SMSC_DELIVERY_RECEIPT_BITMASK)


def receipt_of(plan: Receipt, smpp_msgid: str) -> SentReceipt:
    """Return a receipt with its dates, which are of now, in UTC."""
    if plan.command == "data_sm":
        return SentReceipt(smpp_msgid, plan.stat, "", plan.command, parameters=True)
    date = datetime.now(UTC).strftime(plan.dates)
    return SentReceipt(smpp_msgid, plan.stat, plan.err, plan.command, plan.parameters, date)


def fields_of(receipt: SentReceipt, submit: Command) -> dict[str, Any]:
    """Return the fields of a receipt's PDU: the text of appendix B, parameters, or both."""
    fields = {
        "source_addr": text_of(submit.destination_addr),
        "source_addr_ton": submit.dest_addr_ton,
        "source_addr_npi": submit.dest_addr_npi,
        "destination_addr": text_of(submit.source_addr),
        "dest_addr_ton": submit.source_addr_ton,
        "dest_addr_npi": submit.source_addr_npi,
        "esm_class": _RECEIPT,
    }
    if receipt.parameters:
        fields["receipted_message_id"] = receipt.smpp_msgid
        fields["message_state"] = _STATES[receipt.stat]
    if receipt.command == "deliver_sm":
        fields["short_message"] = _text(receipt).encode()
    return fields


def _text(receipt: SentReceipt) -> str:
    delivered = "001" if receipt.stat == "DELIVRD" else "000"
    return (
        f"id:{receipt.smpp_msgid} sub:001 dlvrd:{delivered} submit date:{receipt.done_date} "
        f"done date:{receipt.done_date} stat:{receipt.stat} err:{receipt.err} text:sample"
    )
