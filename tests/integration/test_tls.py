"""TLS to real servers: verified, and a refusal that says what to change."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
import trustme

from bench.stack import PostgreSQL, RabbitMQ
from service.doctor.finding import Level
from tests.support.doctor import findings, of
from tests.support.gateway import Gateway, bill
from tests.support.service import eventually, run_to_end

CANNOT_START = 3
NAME = "localhost"  # the servers' certificates are for it, and not for 127.0.0.1
HBA = """
host    all postgres   127.0.0.1/32 scram-sha-256
hostssl all certified  127.0.0.1/32 scram-sha-256 clientcert=verify-ca
"""


class TlsRabbitMQ(RabbitMQ):
    """One that also listens for TLS, on a port that is chosen with its others."""

    port_names = (*RabbitMQ.port_names, "amqps")

    @property
    def amqps_port(self) -> int:
        return self._port("amqps")

    def _configure(self) -> None:
        self._config["listeners.ssl.local"] = f"{self.host}:{self.amqps_port}"
        super()._configure()


class Tls(NamedTuple):
    """Servers, and files for their clients."""

    rabbitmq: TlsRabbitMQ
    postgres: PostgreSQL
    files: Path


def _issue(directory: Path) -> None:
    """Write an authority, a server's and a client's certificate, and those of a stranger."""
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    stranger.cert_pem.write_to_path(directory / "stranger.pem")
    issued = {
        "server": ca.issue_cert(NAME),
        "client": ca.issue_cert("billing"),
        "impostor": stranger.issue_cert("billing"),
    }
    for name, certificate in issued.items():
        certificate.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
        certificate.private_key_pem.write_to_path(directory / f"{name}.key")
        (directory / f"{name}.key").chmod(0o600)
    for kind in ("pem", "key"):
        shutil.copyfile(directory / f"server.{kind}", directory / f"genuine.{kind}")
    (directory / "hba.conf").write_text(HBA)
    if os.geteuid() == 0:  # PostgreSQL wants its key to belong to its user
        shutil.chown(directory / "server.key", pwd.getpwnam("postgres").pw_name)


@pytest.fixture(scope="module")
def tls(stack) -> Iterator[Tls]:
    """Start a RabbitMQ and a PostgreSQL with TLS; the former asks for a client certificate."""
    base = Path(tempfile.mkdtemp(prefix="billing-service-tls-", dir="/var/tmp"))
    base.chmod(0o755)
    _issue(base)
    rabbitmq = TlsRabbitMQ(
        base / "rabbitmq",
        config={
            "ssl_options.cacertfile": str(base / "ca.pem"),
            "ssl_options.certfile": str(base / "server.pem"),
            "ssl_options.keyfile": str(base / "server.key"),
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        },
    )
    postgres = PostgreSQL(
        base / "postgres",
        settings={
            "ssl": "on",
            "ssl_ca_file": str(base / "ca.pem"),
            "ssl_cert_file": str(base / "server.pem"),
            "ssl_key_file": str(base / "server.key"),
            "hba_file": str(base / "hba.conf"),
        },
    )
    try:
        with rabbitmq, postgres:
            yield Tls(rabbitmq, postgres, base)
    finally:
        shutil.rmtree(postgres.directory, ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def amqps(tls: Tls) -> dict[str, str]:
    """Settings that lead to RabbitMQ over TLS."""
    return {
        "JASMIN_AMQP_TLS": "true",
        "JASMIN_AMQP_HOST": NAME,
        "JASMIN_AMQP_PORT": str(tls.rabbitmq.amqps_port),
        "JASMIN_AMQP_PASSWORD": tls.rabbitmq.password,
        "JASMIN_AMQP_VHOST": "/",
        "JASMIN_AMQP_CA_FILE": str(tls.files / "ca.pem"),
        "JASMIN_AMQP_CERT_FILE": str(tls.files / "client.pem"),
        "JASMIN_AMQP_KEY_FILE": str(tls.files / "client.key"),
    }


def url(tls: Tls, database: str = "postgres", host: str = NAME, **ssl: str) -> str:
    """Return the URL of PostgreSQL as libpq writes it; values name files."""
    files = {name: tls.files / value for name, value in ssl.items() if name != "sslmode"}
    query = "&".join(f"{name}={value}" for name, value in (ssl | files).items())
    dsn = urlsplit(tls.postgres.dsn(database))
    netloc = dsn.netloc.replace("127.0.0.1", host)
    return dsn._replace(netloc=netloc, query=query).geturl()


VERIFIED = {"sslmode": "verify-full", "sslrootcert": "ca.pem"}


@pytest.fixture
async def postgres_url(tls: Tls):
    """A role that has to show a certificate, and a database of its own; the URL."""
    connection = await asyncpg.connect(tls.postgres.dsn())
    await connection.execute("CREATE ROLE certified LOGIN SUPERUSER PASSWORD 'certified'")
    await connection.execute("CREATE DATABASE certified")
    files = VERIFIED | {"sslcert": "client.pem", "sslkey": "client.key"}
    verified = urlsplit(url(tls, "certified", **files))
    yield verified._replace(netloc=f"certified:certified@{NAME}:{tls.postgres.port}").geturl()
    await connection.execute("DROP DATABASE certified WITH (FORCE)")
    await connection.execute("DROP ROLE certified")
    await connection.close()


async def test_both_over_tls_with_client_certificates(
    start, tls: Tls, amqps: dict[str, str], postgres_url: str, environment: dict[str, str]
) -> None:
    settings = amqps | {"DATABASE_URL": postgres_url}
    migrated = run_to_end(
        "migrate", environment=environment | {f"BILLING_{k}": v for k, v in settings.items()}
    )
    assert migrated.returncode == 0, migrated.stderr
    service = await start(**settings).ready()
    async with Gateway(tls.rabbitmq.url(), tls.postgres.dsn("certified")) as gateway:
        await gateway.add_account()
        await gateway.add_cdrs(["m1"])
        await gateway.publish([bill("m1", "b1")])
        await eventually(gateway.statuses, {"m1": "submitted"})
        encrypted = await gateway.database.fetchval(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE application_name LIKE 'billing-service%'"
        )
        assert encrypted is True

        async def links() -> list[bool]:
            connections = tls.rabbitmq.api("GET", "/connections")
            names = {c.get("user_provided_name", ""): c.get("ssl") for c in connections}
            return [ssl for name, ssl in names.items() if "billing-service" in name]

        await eventually(links, [True] * 4)  # two of each worker
    assert await service.stop() == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CA_FILE": "stranger.pem"}, "BILLING_JASMIN_AMQP_CA_FILE"),
        ({"CA_FILE": ""}, "BILLING_JASMIN_AMQP_CA_FILE"),
        ({"HOST": "127.0.0.1"}, "BILLING_JASMIN_AMQP_HOST"),
        ({"PORT": "plain"}, "does not speak TLS on this port: set jasmin.amqp_port"),
        (
            {"TLS": "false", "CA_FILE": "", "CERT_FILE": "", "KEY_FILE": ""},
            "speaks TLS on this port: set jasmin.amqp_tls (BILLING_JASMIN_AMQP_TLS) to true",
        ),
        (
            {"CERT_FILE": "impostor.pem", "KEY_FILE": "impostor.key"},
            "BILLING_JASMIN_AMQP_CERT_FILE",
        ),
        ({"CERT_FILE": "", "KEY_FILE": ""}, "BILLING_JASMIN_AMQP_CERT_FILE"),
    ],
    ids=["wrong-ca", "systems-ca", "wrong-host", "plain-port", "tls-port", "impostor", "no-cert"],
)
async def test_broker_that_cannot_be_trusted_ends_the_run(
    start, tls: Tls, amqps: dict[str, str], changed: dict[str, str], said: str
) -> None:
    for name, value in changed.items():
        path = str(tls.files / value) if name.endswith("_FILE") and value else value
        amqps[f"JASMIN_AMQP_{name}"] = str(tls.rabbitmq.port) if value == "plain" else path
    service = start(**amqps)
    assert await service.ended() == CANNOT_START
    assert said in service.log_text
    assert "Traceback" not in service.log_text


async def test_certificate_that_is_wrong_later_is_waited_out(
    start, tls: Tls, amqps: dict[str, str], gateway: Gateway
) -> None:
    service = await start(**amqps, WORKERS="1").ready()
    pids = service.worker_pids
    _present(tls, "impostor")

    async def waits() -> bool:
        return any("cannot be trusted" in line.get("error", "") for line in service.lines)

    await eventually(waits)
    _present(tls, "genuine")
    await service.ready()
    assert service.worker_pids == pids
    assert await service.stop() == 0


def _present(tls: Tls, name: str) -> None:
    """Give RabbitMQ another certificate, and have everybody connect again."""
    for kind in ("pem", "key"):
        shutil.copyfile(tls.files / f"{name}.{kind}", tls.files / f"server.{kind}")
    close = 'rabbit_networking:close_all_connections("another certificate")'
    tls.rabbitmq.ctl("eval", f"ssl:clear_pem_cache(), {close}.")


@pytest.mark.parametrize(
    ("host", "authority", "said"),
    [
        (NAME, "stranger.pem", ("sslrootcert", "certificate verify failed")),
        ("127.0.0.1", "ca.pem", ("for another name", "does not match host name")),
    ],
    ids=["wrong-ca", "wrong-host"],
)
async def test_database_that_cannot_be_trusted_ends_the_run(
    start, tls: Tls, host: str, authority: str, said: tuple[str, str]
) -> None:
    wrong = url(tls, host=host, sslmode="verify-full", sslrootcert=authority)
    service = start(DATABASE_URL=wrong)
    assert await service.ended() == CANNOT_START
    migrated = run_to_end("migrate", environment={"BILLING_DATABASE_URL": wrong})
    assert migrated.returncode == CANNOT_START
    assert said[0] in service.log_text
    assert said[1] in migrated.stderr
    for text in (service.log_text, migrated.stderr, migrated.stdout):
        assert "Traceback" not in text
        assert tls.postgres.password not in text


async def test_database_without_tls_is_explained(start, environment: dict[str, str]) -> None:
    service = start(DATABASE_URL=f"{environment['BILLING_DATABASE_URL']}?sslmode=require")
    assert await service.ended() == CANNOT_START
    assert "PostgreSQL does not speak TLS" in service.log_text


async def test_doctor_tells_of_it(tls: Tls, amqps: dict[str, str], postgres_url: str) -> None:
    settings = {f"BILLING_{name}": value for name, value in amqps.items()}
    settings |= {"BILLING_DATABASE_URL": postgres_url, "BILLING_CONFIG": "/dev/null"}
    well = of(await findings(settings), Level.OK)
    assert "TLS; certificate and host name are verified" in well
    assert "\nTLS ->" in well
    settings["BILLING_JASMIN_AMQP_CA_FILE"] = str(tls.files / "stranger.pem")
    found = await findings(settings)
    assert "the certificate of RabbitMQ at localhost" in of(found, Level.PROBLEM)
    assert "\nTLS ->" in of(found, Level.OK)  # the database is looked at all the same
