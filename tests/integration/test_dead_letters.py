"""Bad input: in the dead queue with its reason, the batch around it committed."""

from __future__ import annotations

import json
import struct
from uuid import uuid4

import pytest
from pamqp import encode

from tests.support.gateway import Gateway, Publication, bill, dlr, reasons
from tests.support.service import eventually

GOOD = dlr("good", "DELIVRD")
FAILING_TRIGGER = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'a bug' USING ERRCODE = 'internal_error'; END $$;
    CREATE TRIGGER fail BEFORE UPDATE ON sms_cdr FOR EACH ROW
    WHEN (old.message_id = 'poison') EXECUTE FUNCTION fail();
"""


def native(body: bytes = b"DELIVRD", message_id: str = "AA", **headers: object) -> Publication:
    return Publication(
        "messaging", "dlr.deliver_sm", body, message_id, {"type": "deliver_sm", **headers}
    )


def altered(publication: Publication, **fields: object) -> Publication:
    return publication._replace(body=json.dumps(json.loads(publication.body) | fields).encode())


BAD_DLRS = {
    "not valid JSON": GOOD._replace(body=b'{"message_id": '),
    "missing required field": GOOD._replace(body=b'{"status": "DELIVRD"}'),
    "Expected `str`, got `int`": altered(GOOD, message_id=7),
    "a text contains a NUL": altered(GOOD, message_id="a\0b"),
    "header dlr_text contains a NUL": native(dlr_text="a\0b"),
    "header cid is no text": native(cid={"a": 1}),
    "body is empty": GOOD._replace(body=b""),
    "is longer than 65536": GOOD._replace(body=b'{"message_id": "%s"}' % (b"a" * 1024 * 1024)),
    "neither the JSON contract": GOOD._replace(body=b"[1, 2]"),
    "body is not UTF-8": GOOD._replace(body=b'{"message_id": "\xff"}'),
    "unknown pdu_type": altered(GOOD, pdu_type="enquire_link"),
    "message_id is longer than 255": altered(GOOD, message_id="x" * 256),
    "JSON is nested too deeply": GOOD._replace(body=b'{"a":' * 10_500),
    # PostgreSQL's numbers end at 131072 digits.
    "a number is out of range": GOOD._replace(
        body=GOOD.body.replace(b'"hello"', b"1" + b"0" * 40 + b"e131072")
    ),
}
BAD_BILLS = {
    "amount is negative": bill("good", "b1", amount="-0.01"),
    "amount is no number": bill("good", "b2", amount='"ten"'),
    "amount is out of range": bill("good", "b3", amount="1e12"),
    "not valid JSON": bill("good", "b4", amount="NaN"),
    "missing required field `bid`": Publication(
        "billing", "bill_request.submit_sm_resp.x", b'{"status": "ESME_ROK"}'
    ),
    "no SMPP command status": bill("good", "b7", status="DELIVRD"),
    "neither the JSON contract": Publication("billing", "bill_request.submit_sm_resp.x", b"b5"),
    "header user-id is empty": Publication(
        "billing", "bill_request.submit_sm_resp.x", b"b6", "b6", {"user-id": "", "amount": "1"}
    ),
}


@pytest.mark.parametrize(
    ("queue", "bad"),
    [("billing_service.dlr", BAD_DLRS), ("billing_service.submit_sm_resp", BAD_BILLS)],
    ids=["dlr", "bill"],
)
async def test_each_bad_message_is_dead_lettered_alone(
    start, gateway: Gateway, queue: str, bad: dict[str, Publication]
) -> None:
    service = await start(WORKERS="1", DLR_FLUSH_MS="500", BILL_FLUSH_MS="500").ready()
    pids = service.worker_pids
    messages = [str(uuid4()) for _ in range(100)]
    await gateway.add_cdrs(messages)
    good = [
        dlr(m, "DELIVRD") if queue == "billing_service.dlr" else bill(m, bid=m) for m in messages
    ]
    middle = len(good) // 2
    await gateway.publish([*good[:middle], *bad.values(), *good[middle:]])
    expected = "delivered" if queue == "billing_service.dlr" else "submitted"
    await eventually(gateway.statuses, dict.fromkeys(messages, expected))
    await eventually(lambda: gateway.waiting(f"{queue}.dead"), len(bad))
    await service.ready()
    assert service.worker_pids == pids
    assert await service.stop() == 0

    dead = await gateway.take(f"{queue}.dead")
    assert sorted(message.body for message in dead) == sorted(p.body for p in bad.values())
    for reason, publication in bad.items():
        said = [why for why in reasons(dead) if reason in why]
        assert len(said) == 1, f"{reason}: {said}"
        assert dead[reasons(dead).index(said[0])].body == publication.body
    assert await gateway.waiting(queue) == 0
    logged = {line["reason"] for line in service.events("dead-lettered")}
    # The log does not repeat what a reason quotes of its message.
    assert logged == {reason.partition(": '")[0] for reason in reasons(dead)}
    assert {line["level"] for line in service.events("dead-lettered")} == {"error"}


async def test_dead_letter_says_where_it_came_from(start, gateway: Gateway) -> None:
    service = await start().ready()
    octets = native(b"", message_id="AB", cid="smsc1", blob=bytearray(b"\xff\x00"))
    await gateway.publish([octets])
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    (dead,) = await gateway.take("billing_service.dlr.dead")
    assert dead.message_id == "AB"
    assert dead.delivery_mode == 2
    assert dead.headers["cid"] == "smsc1"
    assert dead.headers["blob"] == b"\xff\x00"
    assert dead.headers["x-billing-stream"] == "dlr"
    assert dead.headers["x-billing-exchange"] == "messaging"
    assert dead.headers["x-billing-routing-key"] == "dlr.deliver_sm"
    assert str(dead.headers["x-billing-dead-at"]).startswith("20")
    assert await service.stop() == 0


async def test_message_that_makes_us_fail_is_tried_five_times(start, gateway: Gateway) -> None:
    """An error that is neither the message's nor an outage is a bug: try, then give up."""
    await gateway.database.execute(FAILING_TRIGGER)
    messages = [str(uuid4()) for _ in range(20)]
    await gateway.add_cdrs([*messages, "poison"])
    service = await start(WORKERS="1", DLR_FLUSH_MS="200").ready()
    await gateway.publish(dlr(message, "DELIVRD") for message in [*messages, "poison"])
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    expected = dict.fromkeys(messages, "delivered") | {"poison": "queued"}
    assert await gateway.statuses() == expected
    failures = service.events("unexpected error")
    assert [line["requeued"] for line in failures] == [True] * 4 + [False]
    assert "a bug" in json.dumps(failures[0]["exception"])
    assert await service.stop() == 0
    (dead,) = await gateway.take("billing_service.dlr.dead")
    assert reasons([dead])[0].startswith("failed too often")
    assert await gateway.waiting("billing_service.dlr") == 0


async def test_what_made_us_fail_while_it_was_parked_says_so(start, gateway: Gateway) -> None:
    await gateway.database.execute(FAILING_TRIGGER)
    service = await start().ready()
    await gateway.publish([dlr("poison", "DELIVRD")])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    async with gateway.database.transaction():
        await gateway.add_cdrs(["poison"])
        await gateway.database.execute(
            "UPDATE billing_parked SET parked_at = now() - interval '2 days'"
        )
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    (dead,) = await gateway.take("billing_service.dlr.dead")
    assert reasons([dead])[0].startswith("failed too often: InternalServerError: a bug")
    assert await service.stop() == 0


HOSTILE_HEADERS = {
    "wide": {"x": "a" * 60_000, "y": "b" * 60_000},
    "copied": {"CC": ["billing_service.dlr", "submit.sm.smsc1"]},
    "octets": {"x": bytearray(b"\xff\xfe"), "list": [bytearray(b"\xff"), {"deep": 1.5}]},
}


@pytest.mark.parametrize("headers", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
async def test_rubbish_with_hostile_headers_is_buried_once(
    start, gateway: Gateway, headers: dict[str, object]
) -> None:
    service = await start().ready()
    pids = service.worker_pids
    await gateway.add_cdrs(["good"])
    await gateway.publish([native(b"", "BAD", **headers), GOOD])
    await eventually(gateway.statuses, {"good": "delivered"})
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    assert await service.stop() == 0
    assert service.worker_pids == pids
    assert len(service.events("dead-lettered")) == 1
    (dead,) = await gateway.take("billing_service.dlr.dead")
    assert dead.message_id == "BAD"
    assert "CC" not in dead.headers


# As on the wire, because the client library would not write them: a name, a type, a value.
NEVER = b"\x04whenT" + b"\xff" * 8
HUGE = b"\x01xd" + struct.pack(">d", 1e300)


@pytest.mark.parametrize(
    "properties",
    [
        {"timestamp": b"\xff" * 8},
        {"message_id": b"\x02\xff\xfe"},
        {"message_id": b"\xff" + b"\xfe" * 255},
        {"headers": struct.pack(">I", len(NEVER)) + NEVER},
        {"headers": struct.pack(">I", len(HUGE)) + HUGE},
    ],
    ids=["timestamp", "message-id", "long-message-id", "timestamp-header", "double-header"],
)
async def test_properties_that_the_client_cannot_read_or_write_stop_nobody(
    start, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, properties: dict[str, bytes]
) -> None:
    service = await start().ready()
    await gateway.add_cdrs(["good"])
    with monkeypatch.context() as wire:
        for kind in ("timestamp", "shortstr", "table"):
            strict = encode.METHODS[kind]
            wire.setitem(
                encode.METHODS,
                kind,
                lambda value, strict=strict: value if isinstance(value, bytes) else strict(value),
            )
        await gateway.publish_raw("dlr.deliver_sm", b"rubbish", **properties)
    await gateway.publish([GOOD])
    await eventually(gateway.statuses, {"good": "delivered"})
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    assert service.events("RabbitMQ is away; trying again") == []
    assert await service.stop() == 0


async def test_classic_queue_gives_up_on_a_message_that_makes_us_fail(
    start, gateway: Gateway
) -> None:
    """It does not count deliveries, so that a message could come again for ever."""
    await gateway.database.execute(FAILING_TRIGGER)
    await gateway.add_cdrs(["poison"])
    service = await start(DLR_QUEUE_TYPE="classic").ready()
    await gateway.publish([dlr("poison", "DELIVRD")])
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    assert len(service.events("unexpected error")) == 2
    assert await service.stop() == 0
