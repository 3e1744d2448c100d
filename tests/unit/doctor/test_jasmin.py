"""jasmin.cfg: what in it keeps events away, or makes refunds of what is still tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.doctor import jasmin
from service.doctor.finding import Finding, Level
from service.settings import Settings

STOCK = """
[sm-listener]
# publish_submit_sm_resp = False
[amqp-broker]
#vhost = /
#host = 127.0.0.1
"""
RETRIALS = """
[sm-listener]
submit_error_retrial = {
    'ESME_RTHROTTLED': {'count': 20, 'delay': 30},
    'ESME_RMSGQFUL': {'count': 2, 'delay': 1800},
    'ESME_RSUBMITFAIL': {'count': 1, 'delay': 5},
    'ESME_RINVSCHED': {'count': 0, 'delay': 9999},
    }
"""


@pytest.fixture
def look(no_variables, tmp_path: Path):
    """A function that looks at the text of a jasmin.cfg."""

    async def look(text: str, jasmin_settings=None, **refund) -> dict[str, Finding]:
        path = tmp_path / "jasmin.cfg"
        path.write_text(text)
        settings = Settings(
            database={"url": "postgresql://billing@db/billing"},
            jasmin=jasmin_settings or {},
            refund=refund,
        )
        return {found.check: found async for found in jasmin.examine(path, settings)}

    return look


async def test_a_stock_file_publishes_no_answers_and_sends_no_early_receipts(look):
    found = await look(STOCK)
    answers = found["publish_submit_sm_resp"]
    assert answers.level is Level.WARNING
    assert "[sm-listener] publish_submit_sm_resp is not True" in answers.says
    assert "set publish_submit_sm_resp = True in [sm-listener]" in answers.remedy
    assert found["smpp_receipts"].level is Level.WARNING
    assert "[dlr] smpp_receipt_on_success_submit_sm_resp" in found["smpp_receipts"].says
    others = {c: f.level for c, f in found.items() if c not in {answers.check, "smpp_receipts"}}
    assert set(others.values()) == {Level.OK}, others


async def test_what_the_specification_wants_is_all_well(look):
    found = await look(
        "[sm-listener]\npublish_submit_sm_resp = True\n"
        "[dlr]\nsmpp_receipt_on_success_submit_sm_resp = yes\n"
        "[amqp-broker]\nhost = localhost\nusername = jasmin\npassword = jasmin\n"
    )
    assert {check: f.says for check, f in found.items() if f.level is not Level.OK} == {}
    assert "with the same password" in found["jasmin_user"].says


async def test_an_option_in_the_wrong_section_is_named(look):
    found = await look("[sm-listener]\n[dlr]\npublish_submit_sm_resp = True\n")
    assert "Jasmin does not read it in [dlr]" in found["publish_submit_sm_resp"].says


@pytest.mark.parametrize("section", ["http-api", "smpp-server"])
async def test_an_interface_without_bills_is_named(look, section):
    found = await look(f"[{section}]\nbilling_feature = False\n")
    assert found["billing_feature"].level is Level.WARNING
    assert f"[{section}] billing_feature = False" in found["billing_feature"].says


async def test_another_virtual_host_or_password_is_a_problem(look):
    found = await look(
        "[amqp-broker]\nvhost = jasmin\nhost = mq.example\nport = 5673\n"
        "username = billing\npassword = theirs\n",
        {"amqp_user": "billing", "amqp_password": "ours", "amqp_vhost": "billing"},
    )
    assert found["jasmin_vhost"].level is Level.PROBLEM
    assert "'jasmin', this service consumes from 'billing'" in found["jasmin_vhost"].says
    assert "BILLING_JASMIN_AMQP_VHOST" in found["jasmin_vhost"].remedy
    assert found["jasmin_user"].level is Level.PROBLEM
    assert "BILLING_JASMIN_AMQP_PASSWORD" in found["jasmin_user"].remedy
    assert not {"theirs", "ours"} & set(" ".join(map(str, found.values())).split("'"))
    assert found["jasmin_broker"].level is Level.WARNING
    assert "mq.example:5673, this service to localhost:5672" in found["jasmin_broker"].says


async def test_the_tls_port_of_the_same_host_is_the_same_broker(look):
    found = await look("[amqp-broker]\nhost = mq\n", {"amqp_host": "mq", "amqp_tls": True})
    assert found["jasmin_broker"].level is Level.OK


async def test_refunds_of_what_jasmin_still_tries_are_problems(look, tmp_path):
    await look(RETRIALS)
    settings = Settings(database={"url": "postgresql://billing@db/billing"})
    path = tmp_path / "jasmin.cfg"
    final, late = [
        f async for f in jasmin.examine(path, settings) if f.check == "submit_error_retrial"
    ]
    assert final.level is late.level is Level.PROBLEM
    assert "after ESME_RSUBMITFAIL, which this service takes for final" in final.says
    assert "1800 s after ESME_RMSGQFUL, but the refund is booked after 900 s" in late.says
    assert "BILLING_REFUND_SETTLE" in late.remedy


async def test_they_are_no_problem_where_nothing_is_refunded_or_it_is_reversed(look):
    assert "submit_error_retrial" not in await look(RETRIALS, submissions=False)
    reversing = await look(RETRIALS, after_delivery="reverse")
    assert reversing["submit_error_retrial"].level is Level.WARNING


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no section = 1\n", "cannot be read"),
        ("[dlr]\npid = a\npid = b\n", "cannot be read"),
        ("[sm-listener]\npublish_submit_sm_resp = True # yes\n", "neither True nor False"),
        ("[sm-listener]\nsubmit_error_retrial = {'ESME_RSYSERR': 3}\n", "not as Jasmin wants it"),
    ],
)
async def test_what_jasmin_itself_could_not_read_is_said(look, text, said):
    found = await look(text)
    assert found["jasmin_config"].level is Level.PROBLEM
    assert said in found["jasmin_config"].says


async def test_a_file_that_is_no_text_is_looked_at_all_the_same(look, tmp_path):
    path = tmp_path / "jasmin.cfg"
    path.write_bytes(b"[amqp-broker]\n# \xe9t\xe9\nvhost = other\n")
    settings = Settings(database={"url": "postgresql://billing@db/billing"})
    found = [f.check async for f in jasmin.examine(path, settings) if f.level is Level.PROBLEM]
    assert found == ["jasmin_vhost"]
