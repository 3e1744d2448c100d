"""A run at DEBUG in which everything goes wrong says nothing of whom it is about."""

from __future__ import annotations

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from bench.stack import Stack
from tests.support.gateway import Gateway, Publication, bill, dlr
from tests.support.service import eventually

QUEUES = ("billing_service.dlr", "billing_service.submit_sm_resp")
MSISDN = "34600123456"
TEXT = "the cat sat on the mat"
REFUSING = """
    ALTER TABLE sms_cdr ADD CONSTRAINT no_code CHECK (error_code <> '666');
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'a bug' USING ERRCODE = 'internal_error', DETAIL = new::text, HINT = new::text;
    END $$;
    CREATE TRIGGER fail BEFORE UPDATE ON sms_cdr FOR EACH ROW
    WHEN (old.message_id = 'poison') EXECUTE FUNCTION fail();
    CREATE FUNCTION cast_it() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN new.delivery_at := (new.dlr_payload ->> 'text')::timestamptz; RETURN new; END $$;
    CREATE TRIGGER cast_it BEFORE UPDATE ON sms_cdr FOR EACH ROW
    WHEN (old.message_id = 'value') EXECUTE FUNCTION cast_it();
"""


def receipt(message_id: str, err: str = "000") -> Publication:
    details = {"id": "1", "err": err, "text": TEXT, "to": MSISDN}
    return dlr(message_id, "DELIVRD", dlr_details=details)


def native(body: str, **headers: object) -> Publication:
    table = {"type": "deliver_sm", "dlr_text": TEXT, "to": MSISDN, **headers}
    return Publication("messaging", "dlr.deliver_sm", body.encode(), "AB", table)


@pytest.mark.parametrize("form", ["json", "console"])
async def test_log_and_metrics_name_nobody(
    start, stack: Stack, gateway: Gateway, form: str
) -> None:
    await gateway.add_cdrs(["good", "refused", "poison", "value"])
    await gateway.database.execute("UPDATE sms_cdr SET msisdn = $1", MSISDN)
    await gateway.database.execute(REFUSING)
    service = start(LOG_LEVEL="DEBUG", LOG_FORMAT=form, DLR_FLUSH_MS="300", HTTP_PORT="0")
    broken = [
        dlr("x", "DELIVRD", pdu_type=f"to {MSISDN}"),
        native("DELIVRD", type=f"to {MSISDN}"),
        native("DELIVRD", cid={MSISDN: TEXT}),
        Publication("messaging", "dlr.deliver_sm", f'{{"{MSISDN}": "{TEXT}'.encode()),
    ]
    await eventually(lambda: consumes(gateway))
    await gateway.publish(
        [
            receipt("good"),
            receipt("refused", err="666"),
            receipt("value"),
            receipt("poison"),
            *broken,
            bill("good", "b1", amount=f'"{MSISDN} EUR"'),
            bill("good", "b2", amount=f'"-{MSISDN}"'),
            bill("good", "b3", status=f"to {MSISDN}"),
        ]
    )
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), len(broken) + 3)
    await eventually(lambda: gateway.waiting("billing_service.submit_sm_resp.dead"), 3)
    metrics = (await service.get("/metrics")).text if form == "json" else ""
    assert await service.stop() == 0
    text = service.log_text
    for said in ("CheckViolationError", "no_code", "a bug", "dead-lettered", "346......56"):
        assert said in text
    for secret in (MSISDN, TEXT, stack.rabbitmq.password, stack.postgres.password):
        assert secret not in text + metrics
    reasons = [
        str(message.headers["x-billing-reason"])
        for message in await gateway.take("billing_service.submit_sm_resp.dead")
    ]
    assert any(MSISDN in reason for reason in reasons)


async def consumes(gateway: Gateway) -> bool:
    """Whether the service takes what is published, by the broker: its log may be for people."""
    try:
        return all([await gateway.consumers(queue) for queue in QUEUES])
    except ChannelNotFoundEntity:
        return False
