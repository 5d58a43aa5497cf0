"""What tests of personal data and backups share: jobs, rows, and a search through every byte."""

from pathlib import Path
from typing import Any

from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service

CANARY = "canary-7f3a9"  # stands in the name and the address of one person


def run(service: Service, *names: str) -> None:
    """Each job once, as the heartbeat runs it; it must go well."""
    for name in names:
        assert run_job(service, jobs.job(name)) is None


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table)))


def files_with(folder: Path, *words: str) -> set[str]:
    """Names of the files under `folder` that hold one of the words, in capitals or not."""
    return {
        path.name
        for path in folder.rglob("*")
        if path.is_file()
        for content in [path.read_bytes().lower()]
        if any(word.lower().encode() in content for word in words)
    }
