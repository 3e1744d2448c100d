from __future__ import annotations

from pathlib import Path

from service.store import migrations, pool


def test_the_schema_that_is_asked_for_is_the_one_that_migrations_make():
    versions = Path(migrations.__file__).parent / "versions"
    newest = max(path.name for path in versions.glob("[0-9]*.py"))
    assert newest.split("_")[0] == pool.SCHEMA_VERSION
