from __future__ import annotations

import os
import re
from pathlib import Path
from uuid import UUID

import pytest
import trustme

from service import config
from service.config import ConfigError, effective, load
from service.settings import fields, variable_of

from .samples import ROOT

URL = "postgresql://billing:hunter2@db.example:5432/billing"
SHIPPED = ROOT / "config/billing.toml"


@pytest.fixture(autouse=True)
def _clean(no_variables, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Write a file, set variables, and return the file's path."""

    def give(toml: str = "", **variables: object) -> Path:
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        path = tmp_path / "given.toml"
        path.write_text(toml)
        return path

    return give


@pytest.fixture
def problems(given):
    """Return what is said of settings that cannot work."""

    def explain(toml: str = "", **variables: object) -> list[str]:
        path = given(toml, **{"BILLING_DATABASE_URL": URL} | variables)
        with pytest.raises(ConfigError) as refused:
            load(path)
        assert str(refused.value) == "\n".join(refused.value.problems)
        return refused.value.problems

    return explain


def origins(path: Path) -> dict[str, tuple[str, str]]:
    return {row.name: (row.value, row.origin) for row in effective(load(path), path)}


# Where a value comes from


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(given):
    path = given(
        "[dlr]\nbatch_size = 300\nflush_ms = 7\n",
        BILLING_DATABASE_URL=URL,
        BILLING_DLR_BATCH_SIZE=200,
    )
    loaded = load(path)
    assert (loaded.dlr.batch_size, loaded.dlr.flush_ms, loaded.dlr.prefetch) == (200, 7, 2000)
    shown = origins(path)
    assert shown["dlr.batch_size"] == ("200", "environment")
    assert shown["dlr.flush_ms"] == ("7", "file")
    assert shown["dlr.prefetch"] == ("2000", "default")


def test_the_specifications_variables_are_known(given):
    path = given(
        BILLING_DATABASE_URL=URL,
        BILLING_JASMIN_AMQP_HOST="rabbitmq",
        BILLING_JASMIN_AMQP_PORT="5673",
        BILLING_JASMIN_AMQP_USER="jasmin2",
        BILLING_JASMIN_AMQP_PASSWORD="hunter2",
        BILLING_JASMIN_AMQP_VHOST="/v",
    )
    jasmin = load(path).jasmin
    assert jasmin.amqp_password.get_secret_value() == "hunter2"
    assert (jasmin.amqp_host, jasmin.amqp_port, jasmin.amqp_user, jasmin.amqp_vhost) == (
        "rabbitmq",
        5673,
        "jasmin2",
        "/v",
    )


def test_the_file_is_the_one_named_else_the_variables_else_the_usual_one(given, monkeypatch):
    usual = Path("config/billing.toml")
    assert config.find_file(None) is None
    usual.parent.mkdir()
    usual.write_text("workers = 1")
    assert config.find_file(None) == usual
    named, other = given("workers = 2"), Path("other.toml")
    monkeypatch.setenv("BILLING_CONFIG", str(named))
    assert config.find_file(None) == named
    other.write_text("workers = 3")
    assert config.find_file(other) == other
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    assert (load().workers, load(other).workers) == (2, 3)


def test_variables_of_files_that_are_empty_name_none(given, monkeypatch):
    for variable in ("BILLING_CONFIG", "BILLING_JASMIN_AMQP_PASSWORD_FILE"):
        given(**{"BILLING_DATABASE_URL": URL, variable: ""})
    assert config.find_file(None) is None
    shown = {row.name: row.origin for row in effective(load())}
    assert shown["jasmin.amqp_password"] == "default"


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_file_that_was_named_must_exist(monkeypatch, by_variable):
    monkeypatch.setenv("BILLING_CONFIG", "missing.toml")
    with pytest.raises(ConfigError, match=r"missing\.toml: no such file"):
        load(None if by_variable else Path("missing.toml"))


def test_a_variable_in_lower_case_is_not_taken_in_silence(given, monkeypatch):
    path = given(BILLING_DATABASE_URL=URL, billing_dlr_batch_size=7)
    with pytest.raises(ConfigError, match="did you mean BILLING_DLR_BATCH_SIZE"):
        load(path)


# Secrets in files


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{URL}\n")
    return path


def test_a_secret_may_be_in_a_file(given, secret):
    path = given('[database]\nurl = "postgresql://other/b"', BILLING_DATABASE_URL_FILE=secret)
    assert load(path).database.url.get_secret_value() == URL
    (row,) = (row for row in effective(load(path), path) if row.name == "database.url")
    assert (row.origin, row.variable) == ("environment", "BILLING_DATABASE_URL_FILE")
    assert "hunter2" not in row.value


@pytest.mark.parametrize(
    ("content", "password"),
    [("hunter2", "hunter2"), ("hunter2\r\n", "hunter2"), (" hunter2 \n\n", " hunter2 \n")],
)
def test_only_the_last_newline_of_a_secret_is_dropped(given, secret, content, password):
    secret.write_bytes(content.encode())
    path = given(BILLING_DATABASE_URL=URL, BILLING_JASMIN_AMQP_PASSWORD_FILE=secret)
    assert load(path).jasmin.amqp_password.get_secret_value() == password


def test_a_secret_is_read_again_each_time(given, secret):
    path = given(BILLING_DATABASE_URL_FILE=secret)
    load(path)
    secret.write_text("postgresql://new/b")
    assert load(path).database.url.get_secret_value() == "postgresql://new/b"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\n", "is empty"), (b"", "is empty"), (None, "cannot be read"), (b"\xff", "not UTF-8")],
)
def test_a_secret_that_cannot_be_read_is_refused(problems, tmp_path, content, said):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    (problem,) = problems(BILLING_JASMIN_AMQP_PASSWORD_FILE=path)
    assert problem.startswith(f"BILLING_JASMIN_AMQP_PASSWORD_FILE: {path}: {said}")


@pytest.mark.parametrize("content", [b"", None])
def test_a_url_whose_file_is_of_no_use_is_not_also_said_to_be_missing(given, tmp_path, content):
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    path = given(BILLING_DATABASE_URL_FILE=file)
    with pytest.raises(ConfigError) as refused:
        load(path)
    (problem,) = refused.value.problems
    assert problem.startswith(f"BILLING_DATABASE_URL_FILE: {file}: ")


def test_a_wrong_secret_is_named_by_the_variable_of_its_file(given, secret):
    secret.write_text("mysql://billing:hunter2@db/b")
    path = given(BILLING_DATABASE_URL_FILE=secret)
    with pytest.raises(ConfigError, match=r"^database\.url \(BILLING_DATABASE_URL_FILE\): expec"):
        load(path)


def test_a_secret_is_given_once(problems, secret):
    (problem,) = problems(BILLING_DATABASE_URL_FILE=secret)
    assert problem == "BILLING_DATABASE_URL_FILE: BILLING_DATABASE_URL is set too; unset one"


def test_only_secrets_are_read_from_files(problems, secret):
    (problem,) = problems(BILLING_JASMIN_AMQP_USER_FILE=secret)
    assert problem.startswith("BILLING_JASMIN_AMQP_USER_FILE: no such setting")


# TLS


def test_the_port_follows_tls(given):
    assert load(given(BILLING_DATABASE_URL=URL)).jasmin.amqp_port == 5672
    assert load(given(BILLING_JASMIN_AMQP_TLS="true")).jasmin.amqp_port == 5671
    assert load(given(BILLING_JASMIN_AMQP_PORT="5673")).jasmin.amqp_port == 5673


@pytest.fixture
def pem(tmp_path):
    """Name PEM files: an authority, a certificate and its key, another key, rubbish."""
    issuer = trustme.CA()
    issued, other = issuer.issue_cert("db.example"), issuer.issue_cert("other")
    contents = {
        "ca": issuer.cert_pem.bytes(),
        "cert": issued.cert_chain_pems[0].bytes(),
        "key": issued.private_key_pem.bytes(),
        "other": other.private_key_pem.bytes(),
        "rubbish": b"rubbish",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in (*contents, "missing")}


SSL = {"ca": "sslrootcert", "cert": "sslcert", "key": "sslkey"}
UNUSABLE = [
    ({"ca": "missing"}, "ca", "no such file"),
    ({"ca": "rubbish"}, "ca", "no certificates in PEM format"),
    ({"cert": "missing", "key": "key"}, "cert", "no such file"),
    ({"cert": "cert", "key": "missing"}, "key", "no such file"),
    ({"cert": "cert", "key": "other"}, "cert", "belong together"),
    ({"cert": "cert"}, "cert", "belong together"),
    ({"key": "key"}, "cert", "not given"),
]


@pytest.mark.parametrize(("files", "which", "said"), UNUSABLE)
def test_the_brokers_certificates_must_be_usable(problems, pem, files, which, said):
    paths = {f"BILLING_JASMIN_AMQP_{n.upper()}_FILE": pem[file] for n, file in files.items()}
    (problem,) = problems(BILLING_JASMIN_AMQP_TLS="1", **paths)
    assert problem.startswith(
        f"jasmin.amqp_{which}_file (BILLING_JASMIN_AMQP_{which.upper()}_FILE)"
    )
    assert said in problem


@pytest.mark.parametrize(("files", "which", "said"), UNUSABLE)
def test_the_databases_certificates_must_be_usable(problems, pem, files, which, said):
    query = "".join(f"&{SSL[name]}={pem[file]}" for name, file in files.items())
    (problem,) = problems(BILLING_DATABASE_URL=f"{URL}?sslmode=verify-full{query}")
    assert problem.startswith(f"database.url (BILLING_DATABASE_URL): {SSL[which]}: ")
    assert said in problem
    assert "hunter2" not in problem


def test_certificates_that_are_usable_are_taken(given, pem):
    query = f"sslmode=verify-full&sslrootcert={pem['ca']}&sslcert={pem['cert']}&sslkey={pem['key']}"
    assert load(
        given(
            BILLING_DATABASE_URL=f"{URL}?{query}",
            BILLING_JASMIN_AMQP_TLS="1",
            BILLING_JASMIN_AMQP_CA_FILE=pem["ca"],
            BILLING_JASMIN_AMQP_CERT_FILE=pem["cert"],
            BILLING_JASMIN_AMQP_KEY_FILE=pem["key"],
        )
    )


def test_certificates_without_tls_are_a_mistake(problems, pem):
    (problem,) = problems(BILLING_JASMIN_AMQP_CA_FILE=pem["ca"])
    assert problem.endswith("without effect: set amqp_tls to true as well")


@pytest.mark.parametrize(
    ("query", "said"),
    [("sslmode=on", "sslmode is none of"), ("sslrootcert=system", "not supported")],
)
def test_tls_parameters_that_cannot_work_are_refused(problems, query, said):
    (problem,) = problems(BILLING_DATABASE_URL=f"{URL}?{query}")
    assert said in problem


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("postgresql://db.example/b", True),
        ("postgresql://db.example/b?sslmode=require", True),
        ("postgresql://localhost/b", False),
        ("postgresql:///b?host=/run/postgresql", False),
        ("postgresql://127.0.0.1/b", False),
        ("postgresql://db.example/b?sslmode=verify-full", False),
        ("postgresql://localhost,db.example/b?target_session_attrs=any", True),
        ("postgresql://localhost:1,127.0.0.1:2/b?target_session_attrs=any", False),
        ("postgresql://a,b/b?target_session_attrs=any&sslmode=verify-full", False),
    ],
)
def test_a_database_elsewhere_is_exposed_unless_verified(given, url, exposed):
    assert load(given(BILLING_DATABASE_URL=url)).database.is_exposed is exposed


def test_a_broker_elsewhere_is_exposed_unless_verified(given):
    path = given(BILLING_DATABASE_URL=URL)
    assert not load(path).jasmin.is_exposed
    path = given(BILLING_JASMIN_AMQP_HOST="localhost,mq.example")
    assert load(path).jasmin.is_exposed
    assert not load(given(BILLING_JASMIN_AMQP_TLS="1")).jasmin.is_exposed


# Several hosts


def test_a_cluster_is_named_as_one_text(given):
    path = given(
        '[jasmin]\namqp_host = "rabbit-1, rabbit-2:5673, [2001:db8::1]:5674"\namqp_port = 5670',
        BILLING_DATABASE_URL=URL,
    )
    assert load(path).jasmin.addresses == (
        ("rabbit-1", 5670),
        ("rabbit-2", 5673),
        ("2001:db8::1", 5674),
    )
    path = given(BILLING_JASMIN_AMQP_HOST="mq-1,mq-2", BILLING_JASMIN_AMQP_TLS="1")
    assert load(path).jasmin.addresses == (("mq-1", 5671), ("mq-2", 5671))


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("rabbit-1,", "expected a host, or several separated by commas"),
        ("rabbit-1:0", "0 is no port"),
        ("rabbit-1,rabbit-1:5672", "rabbit-1:5672 is named twice"),
        ("amqp://jasmin:hunter2@rabbit-1", "expected a host"),
    ],
)
def test_hosts_that_cannot_be_read_are_refused(problems, hosts, said):
    (problem,) = problems(BILLING_JASMIN_AMQP_HOST=hosts)
    assert problem.startswith(f"jasmin.amqp_host (BILLING_JASMIN_AMQP_HOST): {said}")
    assert "hunter2" not in problem


STANDBY = "postgresql://billing:hunter2@[::1]:5433,db-2,db-3:5432/billing"


def test_a_url_may_name_a_primary_and_its_standbys(given):
    path = given(BILLING_DATABASE_URL=f"{STANDBY}?target_session_attrs=read-write")
    assert load(path).database.urls == [
        f"postgresql://billing:hunter2@{host}/billing?target_session_attrs=read-write"
        for host in ("[::1]:5433", "db-2", "db-3:5432")
    ]
    masked = '"postgresql://billing:********@[::1]:5433,db-2,db-3:5432/billing"'
    assert origins(path)["database.url"] == (masked, "environment")


def test_the_url_of_one_host_is_left_as_it_is(given):
    for url in (URL, "postgresql:///b?host=/run/postgresql", "postgresql://u:a,b@h/b"):
        assert load(given(BILLING_DATABASE_URL=url)).database.urls == [url]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (STANDBY, "names several hosts: add ?target_session_attrs=read-write"),
        (f"{STANDBY}?target_session_attrs=standby", "target_session_attrs is none of read-write"),
        ("postgresql:///b?host=a,b", "several hosts are written as postgresql://"),
        ("postgresql://u:hunter2@a:1,b:x/b?target_session_attrs=any", "expected postgresql://"),
        ("postgresql://u:hunter2@a,,b/b?target_session_attrs=any", "expected postgresql://"),
    ],
)
def test_a_url_that_may_lead_to_a_standby_is_refused(problems, url, said):
    (problem,) = problems(BILLING_DATABASE_URL=url)
    assert problem.startswith(f"database.url (BILLING_DATABASE_URL): {said}")
    assert "hunter2" not in problem


# The file that is shipped


def test_the_shipped_file_has_the_defaults(given, monkeypatch):
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    assert load(SHIPPED) == load(given())


def test_the_shipped_file_mentions_every_setting_and_no_other(monkeypatch):
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    mentioned, section = [], ""
    for line in SHIPPED.read_text().splitlines():
        if table := re.fullmatch(r"\[(\w+)\]", line):
            section = f"{table[1]}."
        elif setting := re.match(r"(?:# )?(\w+) = ", line):
            mentioned.append(section + setting[1])
    rows = list(effective(load(SHIPPED), SHIPPED))
    assert sorted(mentioned) == sorted(row.name for row in rows)


def test_only_what_has_no_fixed_default_is_commented_out(monkeypatch):
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    rows = effective(load(SHIPPED), SHIPPED)
    assert {row.name for row in rows if row.origin != "file"} == {
        "workers",
        "database.url",
        "jasmin.amqp_port",
    }


def test_every_setting_is_described(monkeypatch):
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    assert all(row.description for row in effective(load(SHIPPED), SHIPPED))


# What cannot work


def test_a_database_must_be_named(given):
    with pytest.raises(ConfigError) as refused:
        load(given())
    (problem,) = refused.value.problems
    assert problem.startswith("database.url (BILLING_DATABASE_URL) is not set: PostgreSQL URL")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("BILLING_DLR_BATCHSIZE", "; did you mean BILLING_DLR_BATCH_SIZE?"),
        ("BILLING_JASMIN_AMQP_PASWORD", "; did you mean BILLING_JASMIN_AMQP_PASSWORD?"),
        ("BILLING_WORKER", "; did you mean BILLING_WORKERS?"),
        ("BILLING_DLR_QQQQQQQQQQQQQQQQQ", ""),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(problems, variable, nearest):
    assert problems(**{variable: "1"}) == [f"{variable}: no such setting{nearest}"]


@pytest.mark.parametrize(
    "variable", ["BILLING_SERVICE_HOST", "BILLING_SERVICE_PORT", "BILLING_SERVICE_PORT_9108_TCP"]
)
def test_variables_that_kubernetes_adds_are_no_settings(given, variable):
    load(given(**{"BILLING_DATABASE_URL": URL, variable: "tcp://10.0.0.1:9108"}))


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            "[dlr]\nbatchsize = 1",
            "dlr.batchsize: no such setting; did you mean dlr.batch_size?",
        ),
        ("worker = 1", "worker: no such setting; did you mean workers?"),
        ("[zzzzzzzzzzzz]\nx = 1", "zzzzzzzzzzzz: no such setting"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused_with_a_suggestion(problems, toml, problem):
    assert problems(toml) == [problem]


@pytest.mark.parametrize("section", ["dlr", "bill", "capture"])
def test_the_prefetch_must_cover_two_batches(problems, given, section):
    (problem,) = problems(f"[{section}]\nbatch_size = 600\nprefetch = 1199")
    assert problem.startswith(f"{section}.prefetch (BILLING_{section.upper()}_PREFETCH): 1199 ")
    assert "set prefetch to 1200 or more, or batch_size to 599 or less" in problem
    assert load(given(f"[{section}]\nbatch_size = 600\nprefetch = 1200"))


def test_the_prefetch_has_a_limit_on_a_quorum_queue_only(problems, given):
    (problem,) = problems("[dlr]\nprefetch = 2001")
    assert problem.startswith("dlr.prefetch (BILLING_DLR_PREFETCH): 2001 is more than a quorum")
    assert "(2000)" in problem
    assert load(given("[dlr]\nprefetch = 2000"))
    assert load(given('[dlr]\nprefetch = 2001\nqueue_type = "classic"'))


@pytest.mark.parametrize("seconds", [600, 599])
def test_part_grace_must_end_before_the_ttl(problems, given, seconds):
    (problem,) = problems(f"[parking]\nttl = {seconds}")
    assert problem.startswith("parking.part_grace (BILLING_PARKING_PART_GRACE): 600 s is not less")
    assert load(given("[parking]\nttl = 601"))


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "/etc/localtime"])
@pytest.mark.parametrize("section", ["dlr", "capture"])
def test_a_timezone_must_exist(problems, section, zone):
    variable = f"BILLING_{section.upper()}_TIMEZONE"
    (problem,) = problems(**{variable: zone})
    assert problem.startswith(f"{section}.timezone ({variable}): no zone of the IANA database")


@pytest.mark.parametrize(
    ("toml", "name"),
    [
        ("workers = 0", "workers"),
        ("workers = 257", "workers"),
        ("workers = {a = 1}", "workers"),
        ("shutdown_timeout = 0", "shutdown_timeout"),
        ("shutdown_timeout = nan", "shutdown_timeout"),
        ("[jasmin]\namqp_port = 65536", "jasmin.amqp_port"),
        ("[jasmin]\namqp_host = ''", "jasmin.amqp_host"),
        ("[jasmin]\namqp_heartbeat = 0", "jasmin.amqp_heartbeat"),
        (f"[jasmin]\namqp_vhost = '{'v' * 256}'", "jasmin.amqp_vhost"),
        ("[dlr]\nbatch_size = 0", "dlr.batch_size"),
        ("[dlr]\nbatch_size = 1.5", "dlr.batch_size"),
        ("[dlr]\nflush_ms = 0", "dlr.flush_ms"),
        ("[dlr]\nqueue_type = 'stream'", "dlr.queue_type"),
        ("[bill]\nprefetch = 'many'", "bill.prefetch"),
        ("[http]\nport = -1", "http.port"),
        ("[http]\nhost = 'billing..example'", "http.host"),
        ("[log]\nlevel = 'LOUD'", "log.level"),
        ("[log]\nformat = 'xml'", "log.format"),
        ("[parking]\nttl = -1", "parking.ttl"),
    ],
)
def test_an_impossible_value_is_named_with_its_variable(problems, toml, name):
    (problem,) = problems(toml)
    assert problem.startswith(f"{name} (BILLING_{name.upper().replace('.', '_')}): ")
    assert "pydantic" not in problem


def test_what_is_no_table_is_not_hidden_by_the_environment(problems):
    (problem,) = problems("dlr = 5", BILLING_DLR_BATCH_SIZE=7)
    assert problem == "dlr: expected a table, [dlr]"


ACCOUNT = "7f1b6a52-4c8e-4f0a-9d3b-2e5c8a7d9f10"


def test_lists_and_tables_in_the_environment_are_json(given):
    path = given(
        BILLING_DATABASE_URL=URL,
        BILLING_REFUND_RECEIPTS='["failed"]',
        BILLING_REFUND_BY_ACCOUNT=f'{{"{ACCOUNT}": []}}',
        BILLING_REFUND_BY_CONNECTOR='{"smsc-1": ["expired", "rejected"]}',
    )
    refund = load(path).refund
    assert refund.receipts == ("failed",)
    assert refund.by_account == {UUID(ACCOUNT): ()}
    assert refund.by_connector == {"smsc-1": ("expired", "rejected")}


LISTS = {
    "receipts": '["rejected", "failed"]',
    "by_account": f'{{"{ACCOUNT}": ["rejected", "failed"]}}',
    "by_connector": '{"smsc-1": ["rejected", "failed"]}',
}


@pytest.mark.parametrize("value", ["failed", "[", '"failed"', "7", "[" * 100_000])
@pytest.mark.parametrize(("name", "example"), LISTS.items())
def test_what_is_no_json_is_refused_with_an_example_that_is_right(
    problems, given, name, example, value
):
    variable = f"BILLING_REFUND_{name.upper()}"
    (said,) = problems(**{variable: value})
    assert said.startswith(f"refund.{name} ({variable}): expected JSON, such as {example}, not ")
    assert load(given(**{variable: example}))


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("receipts", '"failed"', '["rejected", "failed"]'),
        ("by_connector", '["failed"]', '{ "smsc-1" = ["rejected", "failed"] }'),
    ],
)
def test_in_the_file_the_example_is_toml(problems, given, name, value, example):
    (said,) = problems(f"[refund]\n{name} = {value}")
    variable = f"BILLING_REFUND_{name.upper()}"
    assert said.startswith(f"refund.{name} ({variable}): expected a value such as {example}, not ")
    assert load(given(f"[refund]\n{name} = {example}"))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BILLING_REFUND_RECEIPTS", '["failed", "lost"]', "item 2: input should be 'rejected'"),
        ("BILLING_REFUND_BY_CONNECTOR", '{"0": ["lost"]}', '"0", item 1: input should be'),
        ("BILLING_REFUND_BY_CONNECTOR", '{"0": "failed"}', '"0": input should be a list'),
        ("BILLING_REFUND_BY_ACCOUNT", '{"x": ["failed"]}', '"x": input should be a valid UUID'),
    ],
)
def test_what_is_wrong_inside_a_list_is_named_by_its_variable_and_place(
    problems, variable, value, said
):
    (problem,) = problems(**{variable: value})
    name = variable.removeprefix("BILLING_REFUND_").lower()
    assert problem.startswith(f"refund.{name} ({variable}): {said}")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("BILLING_PARKING_TTL", "5m", "expected a number of seconds, such as 86400, not '5m'"),
        ("BILLING_PARKING_TTL", "nan", "expected a number of seconds, such as 86400, not 'nan'"),
        ("BILLING_PARKING_TTL", "0", "input should be greater than 0 seconds, not '0'"),
        (
            "BILLING_DLR_FLUSH_MS",
            "100ms",
            "expected a whole number of milliseconds, such as 100, not '100ms'",
        ),
        ("BILLING_DLR_BATCH_SIZE", "x", "expected a whole number, such as 1000, not 'x'"),
        ("BILLING_WORKERS", "many", "expected a whole number, not 'many'"),
        ("BILLING_CAPTURE_ENABLED", "maybe", "expected true or false, not 'maybe'"),
    ],
)
def test_a_value_of_the_wrong_form_is_told_the_right_one(problems, variable, value, said):
    (problem,) = problems(**{variable: value})
    assert problem.endswith(f" ({variable}): {said}")


@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
def test_each_time_says_in_what_it_is_given(problems, unit):
    times = {
        variable_of(section, name)
        for section, name, field in fields()
        if re.match(rf"{unit}\b", field.description) and field.annotation in {int, float}
    }
    assert times
    told = problems(**dict.fromkeys(times, "x"))
    assert all(re.search(rf"expected a (whole )?number of {unit}\b", line) for line in told)
    assert len(told) == len(times)


@pytest.mark.parametrize("section", ["DLR", "DATABASE", "REFUND"])
def test_a_whole_section_is_no_variable(problems, section):
    (problem,) = problems(**{f"BILLING_{section}": '{"hold_limit": 7}'})
    assert problem.startswith(f"BILLING_{section}: no such setting; ")


def test_all_problems_come_in_one_list(problems):
    listed = problems(
        "[dlr]\nbatch_size = 1500\n[log]\nlevel = 'LOUD'\n[http]\nhots = 'x'",
        BILLING_JASMIN_AMQP_PORT="x",
        BILLING_WORKRES="1",
        BILLING_DATABASE_URL="mysql://db/b",
        BILLING_PARKING_TTL="1",
        BILLING_REFUND_RECEIPTS="failed",
        BILLING_REFUND="{",
    )
    assert sorted(line.split(" ")[0] for line in listed) == [
        "BILLING_REFUND:",
        "BILLING_WORKRES:",
        "database.url",
        "dlr.prefetch",
        "http.hots:",
        "jasmin.amqp_port",
        "log.level",
        "parking.part_grace",
        "refund.receipts",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "billing",
        "db.example/billing",
        "mysql://billing:hunter2@db/billing",
        "postgresql+asyncpg://billing:hunter2@db/billing",
        "postgresql://billing:hunter2@db",
        "postgresql://billing:hunter2@db/",
        "postgresql://billing:hun#hunter2@db/billing",
        "postgresql://billing:hun?hunter2@db/billing",
        "postgresql://billing@db/billing?hunter2",
        "postgresql://billing:hunter2@db..example/billing",
    ],
)
def test_a_bad_url_is_refused_with_the_form_that_is_expected(problems, url):
    (problem,) = problems(BILLING_DATABASE_URL=url)
    assert problem.startswith(
        "database.url (BILLING_DATABASE_URL): expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    )


@pytest.mark.parametrize("toml", ["workers =", "[dlr\n", "workers = 1\nworkers = 2"])
def test_a_file_that_is_no_toml_is_refused(problems, toml):
    (problem,) = problems(toml)
    assert "given.toml: not valid TOML" in problem


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path))):
        load(tmp_path)


def test_a_file_that_is_no_text_is_refused(given):
    path = given()
    path.write_bytes(b'[jasmin]\namqp_user = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"given\.toml"):
        load(path)


# Secrets


@pytest.mark.parametrize(
    ("toml", "variables"),
    [
        ("[database]\nurl = 'mysql://billing:hunter2@db/b'", {"BILLING_DATABASE_URL": ""}),
        ("[database]\ndsn = 'postgresql://billing:hunter2@db/b'", {}),
        ("database_url = 'postgresql://billing:hunter2@db/b'", {}),
        ("[database]\nurl = ['hunter2']\n", {}),
        ("[jasmin]\namqp_password = ['hunter2']", {}),
        ("[jasmin]\namqp_password = {hunter2 = 'hunter2'}", {}),
        ("[jasmin]\namqp_url = 'amqp://jasmin:hunter2@mq'", {}),
        ("[jasmin]\namqp_password = 'hunter2", {}),
        ("", {"BILLING_DATABASE": "postgresql://billing:hunter2@db/b"}),
        ("", {"BILLING_JASMIN": "amqp://jasmin:hunter2@mq"}),
        ("", {"BILLING_JASMIN_AMQP_PASWORD": "hunter2"}),
        ("", {"BILLING_DATABASE_URL": "postgresql://billing:hunter2"}),
        ("database = 'postgresql://billing:hunter2@db/b'", {}),
        ("jasmin = 'amqp://jasmin:hunter2@mq'", {}),
        ("", {"BILLING_DATABASE_URL": "postgresql://billing:[hunter2@db/b"}),
    ],
)
def test_no_secret_is_in_any_problem(given, toml, variables):
    path = given(toml, **variables)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert refused.value.problems
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.problems)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, '"postgresql://billing:********@db.example:5432/billing"'),
        ("postgresql://b:hun@ter2@db/b", '"postgresql://b:********@db/b"'),
        ("postgresql://b:hunter2%23@db/b?sslmode=require", '"postgresql://b:********@db/b"'),
        ("postgresql://db/b?user=u&password=hunter2", '"postgresql://db/b"'),
        ("postgres://billing@db/b", '"postgres://billing@db/b"'),
    ],
)
def test_a_url_is_shown_without_its_secrets(given, url, shown):
    assert origins(given(BILLING_DATABASE_URL=url))["database.url"] == (shown, "environment")


def test_a_password_with_a_slash_is_refused_or_not_shown(given):
    path = given(BILLING_DATABASE_URL="postgresql://billing:hun/hunter2@db/b")
    try:
        shown = str(origins(path))
    except ConfigError as error:
        shown = str(error)
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "password",
    [
        "hunter2",
        "",
        "hunter2/#?@%",
        "x:hunter2",
        "https://hunter2",
        "//[hunter2",
    ],
)
def test_the_brokers_password_is_never_shown(given, password):
    path = given(BILLING_DATABASE_URL=URL, BILLING_JASMIN_AMQP_PASSWORD=password)
    assert origins(path)["jasmin.amqp_password"] == ('"********"', "environment")
    assert "hunter2" not in repr(load(path))


@pytest.mark.parametrize(
    ("toml", "name", "shown"),
    [
        ("[dlr]\nreceipt_log = false", "dlr.receipt_log", "false"),
        ("shutdown_timeout = 2.5", "shutdown_timeout", "2.5"),
        ("shutdown_timeout = 30", "shutdown_timeout", "30"),
        ("[jasmin]\namqp_vhost = 'v'", "jasmin.amqp_vhost", '"v"'),
        ("[bill]\nflush_ms = 5", "bill.flush_ms", "5"),
    ],
)
def test_values_are_shown_as_the_file_would_have_them(given, toml, name, shown):
    assert origins(given(toml, BILLING_DATABASE_URL=URL))[name] == (shown, "file")


def test_settings_do_not_change_once_loaded(given):
    loaded = load(given(BILLING_DATABASE_URL=URL))
    with pytest.raises(ValueError, match="frozen"):
        loaded.dlr.batch_size = 5


@pytest.mark.timeout(60)
def test_what_might_never_end_is_not_read(given, problems, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ConfigError, match=r"fifo: cannot be read: no regular file"):
        load(fifo)
    assert problems(BILLING_JASMIN_AMQP_PASSWORD_FILE=fifo) == [
        f"BILLING_JASMIN_AMQP_PASSWORD_FILE: {fifo}: cannot be read: no regular file"
    ]
    problem = problems(BILLING_JASMIN_AMQP_TLS="true", BILLING_JASMIN_AMQP_CA_FILE=fifo)[-1]
    assert problem.endswith("no regular file")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BILLING_DATABASE_URL", "postgresql://db/x#password=S3CRET"),
        ("BILLING_DATABASE_URL", "postgresql://db/x;password=S3CRET"),
        ("BILLING_JASMIN_AMQP_HOST", "amqp://u:S3CRET@h"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused(problems, variable, value):
    (problem,) = problems(**{variable: value})
    assert variable in problem
