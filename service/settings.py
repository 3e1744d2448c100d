"""The settings: what there is to set, its defaults, and what goes together.

``service.config`` reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service import addresses, database_url, tls
from service.addresses import Address

ENV_PREFIX = "BILLING_"
DAY = 86_400.0
MAX_QUORUM_PREFETCH = 2000
MAX_CLASSIC_PREFETCH = 65_535
MAX_WORKERS = 256
AMQP_PORT = 5672
AMQPS_PORT = 5671
# Addresses to listen on that are none to connect to.
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens here
LONGEST_HOLD = 1700  # RabbitMQ closes the channel of a consumer that holds for 1800 s
LONGEST_SECONDS = 100 * 365 * DAY

Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            "no zone of the IANA database; use a name such as UTC or Europe/Madrid"
        ) from None
    return name


def _host(name: str) -> str:
    if not addresses.is_host(name):
        raise ValueError("no name or address of a host")
    return name


def _decoded(value: object) -> object:
    """Read the JSON of a variable; what is none is left for the type to refuse."""
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


Zone = Annotated[str, AfterValidator(_zone)]
Host = Annotated[str, AfterValidator(_host)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
QueueType = Literal["quorum", "classic"]
ChargeMode = Literal["confirm", "debit"]
FinalFailure = Literal["rejected", "expired", "failed"]
# With NoDecode, as the library would else end at a variable that is no JSON, and look no further.
FromJSON = BeforeValidator(_decoded)


class Section(BaseModel):
    """A table of the file. An unknown name in it is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Jasmin(Section):
    """Where the gateway's RabbitMQ is."""

    amqp_host: str = Field(
        "localhost",
        description="RabbitMQ host, or those of a cluster: rabbit-1,rabbit-2:5673",
    )
    amqp_tls: bool = Field(
        False, description="speak TLS; the broker's certificate and host name are always verified"
    )
    amqp_port: int = Field(
        default_factory=lambda data: AMQPS_PORT if data.get("amqp_tls") else AMQP_PORT,
        ge=1,
        le=65_535,
        description="RabbitMQ port of hosts that name none; default: 5672, or 5671 with amqp_tls",
    )
    amqp_ca_file: str = Field(
        "", description="PEM file of the authorities to trust; empty: those of the system"
    )
    amqp_cert_file: str = Field(
        "", description="PEM file of a client certificate, where the broker asks for one"
    )
    amqp_key_file: str = Field(
        "", description="PEM file of its private key, unencrypted; empty: in amqp_cert_file"
    )
    amqp_user: str = Field("jasmin", description="RabbitMQ user")
    amqp_password: SecretStr = Field(SecretStr("jasmin"), description="RabbitMQ password")
    amqp_vhost: str = Field("/", min_length=1, max_length=255, description="RabbitMQ virtual host")
    amqp_heartbeat: int = Field(
        30,
        ge=5,
        le=600,
        description="seconds between heartbeats; RabbitMQ gives up a link after two to three",
    )

    @model_validator(mode="after")
    def _addresses_can_be_read(self) -> Jasmin:
        try:
            addresses.parse(self.amqp_host, self.amqp_port)
        except ValueError as error:
            raise ValueError(f"amqp_host: {error}") from None
        return self

    @model_validator(mode="after")
    def _certificates_can_be_used(self) -> Jasmin:
        files = tls.Files(self.amqp_ca_file, self.amqp_cert_file, self.amqp_key_file)
        given = files.given("amqp_{}_file")
        if given and not self.amqp_tls:
            raise ValueError(f"{given[0]}: without effect: set amqp_tls to true as well")
        if self.amqp_tls:
            try:
                tls.context(files)
            except tls.UnusableFile as error:
                raise ValueError(f"amqp_{error.which}_file: {error}") from None
        return self

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where RabbitMQ is: the nodes of one cluster, each as good as the other."""
        return addresses.parse(self.amqp_host, self.amqp_port)

    @property
    def is_exposed(self) -> bool:
        """Whether others on the network could read or forge what is said."""
        is_local = all(address.host in database_url.LOCAL_HOSTS for address in self.addresses)
        return not (self.amqp_tls or is_local)


class Database(Section):
    """Where the CDRs, accounts and ledger are."""

    url: SecretStr = Field(
        description="PostgreSQL URL, for example postgresql://billing:secret@db.example:5432/billing"
    )
    command_timeout: Seconds = Field(
        60, description="seconds after which an unanswered statement counts as an outage"
    )
    hold_limit: Seconds = Field(
        600,
        le=LONGEST_HOLD,
        description="seconds that a batch is held in an outage before it goes back to the broker",
    )
    pgbouncer: bool = Field(False, description="the URL leads to a PgBouncer in transaction mode")

    @model_validator(mode="after")
    def _is_postgresql(self) -> Database:
        url = self.url.get_secret_value()
        if not database_url.is_postgresql_url(url):
            raise ValueError(
                "url: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with any of "
                "/ : @ ? # [ ] % in user or password written as %2F %3A %40 %3F %23 %5B %5D %25"
            )
        if problem := database_url.hosts_problem(url) or database_url.tls_problem(url):
            raise ValueError(f"url: {problem}")
        return self

    @property
    def urls(self) -> list[str]:
        """The URL of each host: the same as ``url`` where it names one."""
        url = self.url.get_secret_value()
        parts = urlsplit(url)
        login, at, hosts = parts.netloc.rpartition("@")
        if "," not in hosts:
            return [url]
        each = (f"{login}{at}{host}" for host in hosts.split(","))
        return [parts._replace(netloc=netloc).geturl() for netloc in each]

    @property
    def is_exposed(self) -> bool:
        """Whether others on the network could read or forge what is said."""
        return any(map(database_url.is_exposed, self.urls))


class Stream(Section):
    """How one queue is consumed and written."""

    batch_size: int = Field(1000, ge=1, le=50_000, description="events in one transaction at most")
    flush_ms: int = Field(
        100, ge=1, le=60_000, description="milliseconds that an event waits for its batch at most"
    )
    prefetch: int = Field(
        2000, ge=1, le=MAX_CLASSIC_PREFETCH, description="unacknowledged messages for each worker"
    )
    queue_type: QueueType = Field("quorum", description="quorum or classic")
    max_length: int = Field(
        100_000,
        ge=1000,
        le=2**31 - 1,
        description="messages that the queue holds; the oldest beyond it become dead letters",
    )
    max_body_bytes: int = Field(
        65_536,
        ge=1024,
        le=1_048_576,
        description="a longer message body is dead-lettered unread",
    )

    @model_validator(mode="after")
    def _prefetch_covers_batches(self) -> Stream:
        if self.prefetch < 2 * self.batch_size:
            raise ValueError(
                f"prefetch: {self.prefetch} is less than 2 x batch_size (2 x {self.batch_size}), "
                "but one batch must be able to fill while one commits; set prefetch to "
                f"{2 * self.batch_size} or more, or batch_size to {max(1, self.prefetch // 2)} "
                "or less"
            )
        if self.queue_type == "quorum" and self.prefetch > MAX_QUORUM_PREFETCH:
            raise ValueError(
                f"prefetch: {self.prefetch} is more than a quorum queue should be asked for "
                f"({MAX_QUORUM_PREFETCH}); lower it, or set queue_type to classic"
            )
        return self


class Dlr(Stream):
    """Delivery receipts: queue billing_service.dlr."""

    timezone: Zone = Field("UTC", description="zone of the receipts' dates, which never carry one")
    receipt_log: bool = Field(True, description="keep a row for each receipt as it came")
    receipt_log_keep: Seconds = Field(
        30 * DAY, description="seconds that a row of the receipt log is kept"
    )
    link_keep: Seconds = Field(
        30 * DAY, description="seconds that an operator's id stays linked to its message"
    )


class Bill(Stream):
    """Billing events: queue billing_service.submit_sm_resp."""

    batch_size: int = Field(500, ge=1, le=50_000, description="events in one transaction at most")
    prefetch: int = Field(
        1000, ge=1, le=MAX_CLASSIC_PREFETCH, description="unacknowledged messages for each worker"
    )
    charge_mode: ChargeMode = Field(
        "confirm", description="confirm: the gateway has debited already; debit: debit here"
    )


class Capture(Stream):
    """CDRs for sites without a gateway that writes them: queue billing_service.submit."""

    enabled: bool = Field(
        False, description="write a CDR for each message that Jasmin gives to a connector"
    )
    text: bool = Field(False, description="keep what the messages say, too")
    keep: Seconds = Field(30 * DAY, description="seconds that a message's text is kept")
    timezone: Zone = Field(
        "UTC", description="zone of Jasmin's host, whose times of submission carry none"
    )
    flush_ms: int = Field(
        20, ge=1, le=60_000, description="milliseconds that an event waits for its batch at most"
    )
    batch_size: int = Field(500, ge=1, le=50_000, description="events in one transaction at most")
    prefetch: int = Field(
        1000, ge=1, le=MAX_CLASSIC_PREFETCH, description="unacknowledged messages for each worker"
    )


class Refund(Section):
    """What is paid back for messages that were charged and did not arrive."""

    submissions: bool = Field(
        True, description="refund messages whose submission the operator refused"
    )
    settle: Seconds = Field(
        900, description="seconds without anything better after which a retried error is refunded"
    )
    receipts: Annotated[tuple[FinalFailure, ...], NoDecode, FromJSON] = Field(
        (),
        description="final receipts that refund too: any of rejected, expired, failed",
        examples=[("rejected", "failed")],
    )
    by_account: Annotated[dict[UUID, tuple[FinalFailure, ...]], NoDecode, FromJSON] = Field(
        {},
        description="instead of receipts, for these accounts (their UUIDs)",
        examples=[{"7f1b6a52-4c8e-4f0a-9d3b-2e5c8a7d9f10": ("rejected", "failed")}],
    )
    by_connector: Annotated[dict[str, tuple[FinalFailure, ...]], NoDecode, FromJSON] = Field(
        {},
        description="instead of receipts, for these connectors; an account's rule wins",
        examples=[{"smsc-1": ("rejected", "failed")}],
    )
    after_delivery: Literal["keep", "reverse"] = Field(
        "keep", description="what becomes of a refund when the message is delivered after all"
    )


class Parking(Section):
    """Events that came before their CDR, their account or their link."""

    ttl: Seconds = Field(DAY, description="seconds that an event waits before it is dead-lettered")
    guess_grace: Seconds = Field(
        120, description="seconds before an unmatched receipt's id is also read in another base"
    )
    part_grace: Seconds = Field(
        600,
        description="seconds before an unmatched receipt may be taken for a part of a long message",
    )

    @model_validator(mode="after")
    def _grace_ends_before_ttl(self) -> Parking:
        if self.part_grace >= self.ttl:
            raise ValueError(
                f"part_grace: {self.part_grace:g} s is not less than ttl ({self.ttl:g} s), so that "
                "receipts for parts of long messages would be dead-lettered instead"
            )
        return self


class Http(Section):
    """The status page, /metrics, /healthz and /readyz of the supervisor."""

    host: Host = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(9108, ge=0, le=65_535, description="port to listen on; 0 takes a free one")

    @property
    def url(self) -> str:
        """Where it answers, asked from this machine."""
        host = ANY_HOST.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class Log(Section):
    """What is said while running."""

    level: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON elsewhere"
    )
    show_numbers: bool = Field(
        False, description="show phone numbers in full, rather than as 346....56"
    )


class _Read(BaseSettings):
    """What is read from environment and file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment first, then the file (given as initial values).

        What names a secret's file is left to :mod:`service.config`, which reads it; and what
        would be a whole section in JSON, which refuses it.
        """
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {
                name: value
                for name, value in env_settings.env_vars.items()
                if name.upper() not in {*SECRET_FILES, *SECTIONS}
            }
        return env_settings, init_settings


class Settings(_Read):
    """All settings, validated. Build it with :func:`service.config.load`."""

    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=MAX_WORKERS,
        description="worker processes; default: one for each core",
    )
    hang_timeout: Seconds = Field(
        30, ge=3, description="seconds without a heartbeat after which a worker is killed"
    )
    shutdown_timeout: Seconds = Field(
        30, description="seconds to flush, commit and acknowledge after SIGTERM"
    )
    jasmin: Jasmin = Field(default_factory=Jasmin)
    database: Database
    dlr: Dlr = Field(default_factory=Dlr)
    bill: Bill = Field(default_factory=Bill)
    capture: Capture = Field(default_factory=Capture)
    refund: Refund = Field(default_factory=Refund)
    parking: Parking = Field(default_factory=Parking)
    http: Http = Field(default_factory=Http)
    log: Log = Field(default_factory=Log)


class HttpAlone(_Read):
    """For who only asks a service that runs. Build it with :func:`service.config.load_http`."""

    model_config = SettingsConfigDict(extra="ignore")

    http: Http = Field(default_factory=Http)


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield (section or "", name, field) for every setting."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            for inner, inner_field in kind.model_fields.items():
                yield name, inner, inner_field
        else:
            yield "", name, field


def variable_of(section: str, name: str) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + (f"{section}_{name}" if section else name).upper()


# What the variables of each section begin with, before the last _.
SECTIONS = {variable_of("", section) for section, _, _ in fields() if section}

# The variables that name a file with a secret, and whose secret it is.
SECRET_FILES = {
    f"{variable_of(section, name)}_FILE": (section, name)
    for section, name, field in fields()
    if field.annotation is SecretStr
}
