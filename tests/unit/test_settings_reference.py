"""docs/settings.md is what the settings say."""

from __future__ import annotations

import re

from bench import PROJECT
from service.settings import Bill, Dlr, fields, variable_of
from tools.settings_reference import FILE, reference


def rows() -> dict[str, list[str]]:
    """Return the cells of each row by the variable in it."""
    lines = [line for line in reference().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[1].strip("`"): row for row in cells}


def test_the_page_is_what_the_settings_say():
    assert FILE.read_text() == reference(), "run: make docs"


def test_every_setting_has_a_row_with_all_cells_filled():
    assert list(rows()) == [variable_of(section, name) for section, name, _ in fields()]
    assert all(len(row) == 5 and all(row) for row in rows().values())


def test_defaults_ranges_and_forms_are_those_that_are_enforced():
    found = {variable: tuple(row[2:4]) for variable, row in rows().items()}
    assert found["BILLING_WORKERS"] == ("one for each core", "1 to 256")
    assert found["BILLING_HANG_TIMEOUT"] == ("`30`", "3 or more")
    assert found["BILLING_DATABASE_HOLD_LIMIT"] == ("`600`", "above 0, 1,700 at most")
    assert found["BILLING_DATABASE_URL"] == ("none: must be set", "text")
    assert found["BILLING_DLR_QUEUE_TYPE"] == ('`"quorum"`', '`"quorum"`, `"classic"`')
    assert found["BILLING_DLR_RECEIPT_LOG"] == ("`true`", "`true`, `false`")
    assert found["BILLING_JASMIN_AMQP_PORT"] == ("5672, or 5671 with amqp_tls", "1 to 65,535")
    assert found["BILLING_REFUND_RECEIPTS"] == (
        "`[]`",
        'list of `"rejected"`, `"expired"`, `"failed"`',
    )


def test_a_secret_may_be_in_a_file():
    assert "`BILLING_DATABASE_URL_FILE`" in rows()["BILLING_DATABASE_URL"][4]


def test_the_settings_in_the_readme_have_these_defaults():
    page = (PROJECT / "README.md").read_text()
    shown = dict(re.findall(r"^\| `(BILLING_\w+)` \| (.+?) \|", page, re.MULTILINE))
    assert shown.pop("BILLING_WORKERS") == "cores"
    defaults = {variable: re.sub('[`"]', "", row[2]) for variable, row in rows().items()}
    assert {variable: value.strip("`") for variable, value in shown.items()} == {
        variable: defaults.get(variable) for variable in shown
    }
    # What it says of the other stream, in words.
    dlr = [variable for variable in shown if variable.startswith("BILLING_DLR_")]
    same = {variable.replace("_DLR_", "_BILL_") for variable in dlr[:5]}
    assert same <= defaults.keys()
    assert dlr[5].replace("_DLR_", "_BILL_") not in defaults
    bill = Bill()
    assert f"with batches of {bill.batch_size} and a prefetch of {bill.prefetch}." in page
    shared = Dlr.model_fields.keys() & Bill.model_fields
    unlike = {name for name in shared if getattr(Dlr(), name) != getattr(bill, name)}
    assert unlike == {"batch_size", "prefetch"}
