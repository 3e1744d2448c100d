"""A private Prometheus that scrapes one service."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx

from bench.stack.install import ensure_installed
from bench.stack.packages import PROMETHEUS
from bench.stack.server import Server
from tests.support.monitoring import RULES


class Prometheus(Server):
    """A Prometheus with the rules in config/, which asks ``target`` (host:port) every second."""

    name = "prometheus"
    programs = frozenset({"prometheus"})
    port_names = ("prometheus",)
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path, target: str) -> None:
        super().__init__(directory)
        self._target = target

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query of PromQL finds now."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self._url}/api/v1/query", params={"query": query})
        document = answer.json()
        assert document["status"] == "success", document
        return document["data"]["result"]

    @property
    def _url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _launch(self) -> None:
        ensure_installed(print, PROMETHEUS)
        config = self.directory / "prometheus.yml"
        config.write_text(
            json.dumps(  # which is YAML, too
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [
                        {
                            "job_name": "billing-service",
                            "static_configs": [{"targets": [self._target]}],
                        }
                    ],
                }
            )
        )
        self._mark_log()
        program = str(PROMETHEUS.bindir() / "prometheus")
        self._run(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address={self.host}:{self.port}",
            ]
        )
        self._wait_until(self._ready)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
