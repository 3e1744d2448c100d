"""What a PostgreSQL URL must be for this service to work with it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from service import addresses, tls

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SSL_FILES = ("sslrootcert", "sslcert", "sslkey")
WRITABLE_SESSIONS = ("read-write", "primary", "any")


def is_postgresql_url(text: str) -> bool:
    """Whether a URL names servers and a database, and hides no password in the wrong place."""
    try:
        parts = urlsplit(text)
        database = parts.path.removeprefix("/")
        hosts = parts.netloc.rpartition("@")[2].split(",")
        return (
            parts.scheme in {"postgresql", "postgres"}
            and bool(database)
            and not set(database) & set("/@:")
            and (all(hosts) or len(hosts) == 1)
            and all(urlsplit(f"//{host}").port != 0 for host in hosts)  # raises: it is no number
            and all(addresses.is_host(urlsplit(f"//{host}").hostname or "") for host in hosts)
            and not parts.fragment
            and ";" not in database
            and bool(parse_qs(parts.query, strict_parsing=True) if parts.query else True)
        )
    except ValueError:
        return False


def place(url: str) -> str:
    """Say where the server of a URL is, without user and password."""
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("host", [""])[-1]
    return parts.netloc.rpartition("@")[2] or named or "this machine"


def is_exposed(url: str) -> bool:
    """Whether others on the network could read or forge what is said to the host of a URL."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = query.get("host", [parts.hostname or "localhost"])[-1]
    is_verified = query.get("sslmode", [""])[-1] in {"verify-ca", "verify-full"}
    return not (is_verified or host in LOCAL_HOSTS or host.startswith("/"))


def hosts_problem(url: str) -> str | None:
    """Say what of a URL would lead to a server that takes no writes."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if "," in query.get("host", [""])[-1]:
        return (
            "several hosts are written as postgresql://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE"
        )
    wanted = query.get("target_session_attrs", [""])[-1]
    if wanted and wanted not in WRITABLE_SESSIONS:
        return f"target_session_attrs is none of {', '.join(WRITABLE_SESSIONS)}"
    if "," in parts.netloc.rpartition("@")[2] and not wanted:
        return (
            "names several hosts: add ?target_session_attrs=read-write, so that a standby, which "
            "takes no writes, is passed over"
        )
    return None


def tls_problem(url: str) -> str | None:
    """Say what of a URL's TLS parameters cannot work, without repeating the URL."""
    query = parse_qs(urlsplit(url).query)
    given = {name: query[name][-1] for name in ("sslmode", *SSL_FILES) if name in query}
    if given.get("sslmode", "prefer") not in SSL_MODES:
        return f"sslmode is none of {', '.join(SSL_MODES)}"
    if given.get("sslrootcert") == "system":
        return "sslrootcert=system is not supported; name a file of the authorities to trust"
    files = tls.Files(*(given.get(name, "") for name in SSL_FILES))
    try:
        tls.context(files)
    except tls.UnusableFile as error:
        return f"ssl{'rootcert' if error.which == 'ca' else error.which}: {error}"
    return None
