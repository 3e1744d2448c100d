-- What server is this, and what does it make of a COMMIT?
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::int AS number,
    current_user AS role,
    current_database() AS database,
    pg_backend_pid() AS pid,
    clock_timestamp() AS now,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS read_only,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
    current_setting('fsync')::boolean AS fsync,
    current_setting('full_page_writes')::boolean AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('synchronous_standby_names') AS standbys,
    least(
        current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int,
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
    ) AS connections
