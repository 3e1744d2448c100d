"""Events that come before what they belong to, and events that never match."""

from __future__ import annotations

from uuid import uuid4

from tests.support.gateway import (
    ACCOUNT,
    JASMIN_UID,
    Gateway,
    Publication,
    bill,
    dlr,
    reasons,
)
from tests.support.service import eventually

# A receipt that may be that of a part has been looked at, and will be again.
LOOKED_AT = "look_from > parked_at"


def receipt(operator_id: str, status: str = "DELIVRD", **headers: object) -> Publication:
    """Return a native receipt, which names the operator's id only."""
    return Publication(
        "messaging",
        "dlr.deliver_sm",
        status.encode(),
        operator_id,
        {"type": "deliver_sm", "cid": "smsc1", "dlr_id": operator_id.lower(), **headers},
    )


def answer(message_id: str, operator_id: str) -> Publication:
    """Return the native answer to a submission, which links the operator's id to the message."""
    headers = {"type": "submit_sm_resp", "smpp_msgid": operator_id}
    return Publication("messaging", "dlr.submit_sm_resp", b"ESME_ROK", message_id, headers)


async def test_bill_waits_for_its_account_and_its_cdr(start, gateway: Gateway) -> None:
    service = await start().ready()
    await gateway.database.execute("DELETE FROM accounts")
    message_id = str(uuid4())
    await gateway.publish([bill(message_id, "b1")])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    await gateway.add_account()
    await eventually(lambda: service.metric("billing_parked", stream="bill"), 1)
    assert await gateway.count("billing_event") == 0
    await gateway.add_cdrs([message_id])
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await gateway.count("billing_event", f"account_id = '{ACCOUNT}'") == 1
    assert await gateway.count("sms_cdr", "finalized_at IS NOT NULL") == 1
    assert await service.stop() == 0


async def test_native_bill_waits_for_its_account(start, gateway: Gateway) -> None:
    service = await start().ready()
    await gateway.database.execute("DELETE FROM accounts")
    headers = {"user-id": JASMIN_UID, "amount": "1e-05"}
    key = f"bill_request.submit_sm_resp.{JASMIN_UID}"
    await gateway.publish([Publication("billing", key, b"b1", "b1", headers)])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    await gateway.add_account()
    await eventually(lambda: gateway.count("billing_event", "amount = 0.00001"), 1)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.stop() == 0


async def test_headers_nested_very_deeply_do_not_keep_a_receipt_from_waiting(
    start, gateway: Gateway
) -> None:
    service = await start().ready()
    nested: list[object] = []
    for _ in range(250):
        nested = [nested]
    await gateway.publish([receipt("FF02", x=nested)])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    await gateway.add_cdrs(["m1"])
    await gateway.publish([answer("m1", "FF02")])
    await eventually(gateway.statuses, {"m1": "delivered"})
    assert await service.stop() == 0


async def test_two_cdrs_of_one_message_do_not_make_up_for_one_that_is_missing(
    start, gateway: Gateway
) -> None:
    service = await start(WORKERS="1", DLR_BATCH_SIZE="2", DLR_FLUSH_MS="60000").ready()
    await gateway.add_cdrs(["twice"])
    await gateway.add_cdrs(["twice"])
    await gateway.publish([dlr("twice", "DELIVRD"), dlr("missing", "DELIVRD")])
    await eventually(service.consumed, 2)
    assert await gateway.count("billing_parked", "message_id = 'missing'") == 1
    assert [line["size"] for line in service.events("batch")] == [2]
    assert await gateway.count("sms_cdr", "status = 'delivered'") == 2
    assert await service.stop() == 0


async def test_what_never_matches_is_dead_lettered_as_it_came(start, gateway: Gateway) -> None:
    service = await start(PARKING_TTL="2").ready()
    lost = dlr(str(uuid4()), "DELIVRD")
    await gateway.publish([lost, receipt("FF01")])
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 2)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    dead = await gateway.take("billing_service.dlr.dead")
    assert reasons(dead) == ["nothing it belongs to appeared within 2 s"] * 2
    by_key = {message.headers["x-billing-routing-key"]: message for message in dead}
    assert by_key["dlr.deliver_sm"].headers["x-billing-stream"] == "dlr"
    assert {message.body for message in dead} == {lost.body, b"DELIVRD"}
    assert [m.headers["cid"] for m in dead if m.message_id == "FF01"] == ["smsc1"]
    assert await service.stop() == 0


async def test_same_message_delivered_twice_is_parked_once(start, gateway: Gateway) -> None:
    service = await start().ready()
    early = dlr(str(uuid4()), "DELIVRD")._replace(message_id="one")
    await gateway.publish([early, early])
    await eventually(service.consumed, 2)
    assert await gateway.count("billing_parked") == 1
    assert await service.stop() == 0


async def test_receipt_is_found_by_the_other_base_of_its_id(start, gateway: Gateway) -> None:
    """Some operators answer in hexadecimal and send receipts in decimal, or the reverse."""
    service = await start(PARKING_GUESS_GRACE="1").ready()
    hexadecimal, decimal = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([hexadecimal, decimal])
    await gateway.publish([answer(hexadecimal, "1A2B3C4D"), answer(decimal, "555000111")])
    await eventually(service.consumed, 2)
    await gateway.publish([receipt(str(0x1A2B3C4D)), receipt(f"{555000111:x}", status="UNDELIV")])
    expected = {hexadecimal: "delivered", decimal: "failed"}
    await eventually(gateway.statuses, expected)
    assert await service.stop() == 0


async def test_early_receipt_waits_for_its_link_rather_than_be_guessed(
    start, gateway: Gateway
) -> None:
    """With ids counted in decimal, one read as hexadecimal is easily another message's."""
    service = await start().ready()
    ours, other = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([ours, other])
    await gateway.publish([answer(other, str(0x100050))])
    await eventually(service.consumed, 1)
    await gateway.publish([receipt("100050")])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    await gateway.publish([answer(ours, "100050")])
    await eventually(gateway.statuses, {ours: "delivered", other: "submitted"})
    assert await service.stop() == 0


async def test_guess_does_not_lead_to_another_connector(start, gateway: Gateway) -> None:
    service = await start(PARKING_GUESS_GRACE="1", PARKING_TTL="4").ready()
    other = str(uuid4())
    await gateway.add_cdrs([other])
    await gateway.publish([answer(other, str(0x100050))])
    await eventually(gateway.statuses, {other: "submitted"})
    await gateway.publish([receipt("100050", cid="smsc2")])
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    assert await gateway.statuses() == {other: "submitted"}
    assert await service.stop() == 0


async def test_recycled_id_belongs_to_the_newest_message_that_is_not_final(
    start, gateway: Gateway
) -> None:
    service = await start().ready()
    first, second = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([first, second])
    steps = [answer(first, "AA"), receipt("AA"), answer(second, "AA"), receipt("AA", "EXPIRED")]
    for number, step in enumerate(steps, start=1):
        await gateway.publish([step])
        await eventually(service.consumed, number)
    await eventually(gateway.statuses, {first: "delivered", second: "expired"})
    assert await service.stop() == 0


async def test_colliding_ids_are_told_apart_by_connector(start, gateway: Gateway) -> None:
    service = await start().ready()
    ours, other = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([ours, other])
    await gateway.database.execute(
        "UPDATE sms_cdr SET connector_id = 'smsc2' WHERE message_id = $1", other
    )
    await gateway.publish([answer(ours, "AA"), answer(other, "AA")])
    await eventually(lambda: gateway.count("billing_link"), 2)
    await gateway.publish([receipt("AA", "REJECTD")])
    await eventually(gateway.statuses, {ours: "rejected", other: "submitted"})
    assert await service.stop() == 0


async def test_receipt_is_found_on_another_connector(start, gateway: Gateway) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([answer(message_id, "AA"), receipt("AA", cid="smsc9")])
    await eventually(gateway.statuses, {message_id: "delivered"})
    assert await service.stop() == 0


async def test_receipt_of_an_unnamed_part_leaves_the_cdr_alone(start, gateway: Gateway) -> None:
    service = await start(PARKING_PART_GRACE="1").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id], parts=3)
    await gateway.publish(
        [receipt("1FE", "UNDELIV"), receipt("1FF"), answer(message_id, "200"), receipt("200")]
    )
    await eventually(lambda: service.metric("billing_events_total", outcome="part"), 2)
    await eventually(gateway.statuses, {message_id: "delivered"})
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.stop() == 0


async def test_receipt_further_away_than_the_parts_is_of_another_message(
    start, gateway: Gateway
) -> None:
    service = await start(PARKING_PART_GRACE="1").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id], parts=2)
    await gateway.publish([answer(message_id, "200"), receipt("1FE"), receipt("1FF")])
    await eventually(lambda: gateway.count("billing_parked", LOOKED_AT), 1)
    await eventually(lambda: service.metric("billing_events_total", outcome="part"), 1)

    async def parked() -> list[str]:
        rows = await gateway.database.fetch("SELECT operator_ids[1] FROM billing_parked")
        return [operator_id for (operator_id,) in rows]

    await eventually(parked, ["1FE"])
    assert await service.stop() == 0


async def test_receipt_of_a_part_is_found_whenever_its_cdr_comes(start, gateway: Gateway) -> None:
    service = await start(PARKING_PART_GRACE="0.5").ready()
    message_id = str(uuid4())
    await gateway.publish([receipt("1FF"), answer(message_id, "200")])
    await eventually(lambda: gateway.count("billing_parked", LOOKED_AT), 1)
    await gateway.add_cdrs([message_id], parts=2)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.metric("billing_events_total", outcome="part") == 1
    assert await gateway.statuses() == {message_id: "submitted"}
    assert await service.stop() == 0


async def test_receipt_that_has_waited_long_is_left_alone_for_as_long(
    start, gateway: Gateway
) -> None:
    service = await start().ready()
    await gateway.publish([receipt("1FF")])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    hour = "now() - interval '1 hour'"
    await gateway.database.execute(
        f"UPDATE billing_parked SET parked_at = {hour}, look_from = {hour}"
    )
    much_later = "look_from > now() + interval '59 minutes'"
    await eventually(lambda: gateway.count("billing_parked", much_later), 1)
    assert await service.stop() == 0


async def test_what_is_there_in_time_is_found_before_it_expires(start, gateway: Gateway) -> None:
    """However long ago it was looked for, as happens to old ones."""
    service = await start(PARKING_PART_GRACE="3600").ready()
    late = [str(uuid4()) for _ in range(20)]
    early = [receipt("1FF"), answer("long", "200"), *(dlr(each, "DELIVRD") for each in late)]
    await gateway.publish([*early, dlr("never", "DELIVRD")])
    await eventually(lambda: gateway.count("billing_parked"), len(early) + 1)
    old = "UPDATE billing_parked SET parked_at = now() - interval '2 days' WHERE {}"
    await gateway.database.execute(old.format("message_id = 'never'"))
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)  # it expires by now
    async with gateway.database.transaction():
        await gateway.database.execute(old.format("true"))
        await gateway.add_cdrs(late)
        await gateway.add_cdrs(["long"], parts=2)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await gateway.statuses() == dict.fromkeys(late, "delivered") | {"long": "submitted"}
    assert await service.metric("billing_events_total", outcome="part") == 1
    assert await gateway.waiting("billing_service.dlr.dead") == 1
    assert await service.stop() == 0


async def test_events_that_have_to_stay_do_not_hold_up_the_others(start, gateway: Gateway) -> None:
    """Their link leads to two messages: one that is final, and a newer one without a CDR."""
    service = await start().ready()
    final, newer, late = str(uuid4()), str(uuid4()), str(uuid4())
    await gateway.add_cdrs([final])
    for number, step in enumerate([answer(final, "AA"), receipt("AA"), answer(newer, "AA")], 1):
        await gateway.publish([step])
        await eventually(service.consumed, number)
    stuck = [receipt("AA", dlr_text=f"{number}") for number in range(1_200)]
    await gateway.publish([*stuck, dlr(late, "EXPIRED")])
    await eventually(lambda: gateway.count("billing_parked"), len(stuck) + 2)
    await gateway.add_cdrs([late])
    await eventually(gateway.statuses, {final: "delivered", late: "expired"})
    await gateway.add_cdrs([newer])
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert (await gateway.statuses())[newer] == "delivered"
    assert await service.stop() == 0
