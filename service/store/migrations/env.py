"""Alembic's entry point: runs the pending revisions on the connection that migrate.py opened."""

from alembic import context

from service.store.migrate import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
