"""An index on the CDR's message id, unless the deployment has one already.

Built without blocking the gateway's writes, however large the table is.
"""

from alembic import op

from service.store.migrations import execute_sql

revision = "0003"
down_revision = "0002"

_USABLE_INDEX = """
    SELECT EXISTS (
        SELECT FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = 'sms_cdr'::regclass AND a.attname = 'message_id'
          AND i.indisvalid AND i.indpred IS NULL
    )
"""


def upgrade() -> None:
    """Create the index outside a transaction, as CONCURRENTLY demands."""
    if op.get_bind().exec_driver_sql(_USABLE_INDEX).scalar():
        return
    connection = op.get_bind()
    timeout = connection.exec_driver_sql("SHOW lock_timeout").scalar()
    with op.get_context().autocommit_block():
        # It blocks nobody while it waits for older transactions, so it may wait.
        connection.exec_driver_sql("SET lock_timeout = 0")
        execute_sql("0003_message_id_index.sql")
        connection.exec_driver_sql(f"SET lock_timeout = '{timeout}'")
