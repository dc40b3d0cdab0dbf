"""An alert like others, what OCSF and Prometheus make of it, and a disk that is soon full."""

import contextlib
import functools
import http.client
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from prometheus_client.parser import text_string_to_metric_families

from mqtt_ids.alerts import Alert, Reason, encode
from mqtt_ids.readers import HostPort
from mqtt_ids.responders import ocsf

HOST = "127.0.0.1"
CALM = Alert(
    id="01JDK3V8Q2M4YXN0Z7C5RT9WBE",
    state="open",
    active=True,
    severity="high",
    attack="flood",
    also=("unusual",),
    confidence=0.973,
    mitre=("T0814",),
    time=11.2,
    first_seen=10.4,
    client_id="porch-cam",
    username="cams",
    address="192.168.1.40",
    clients=("porch-cam",),
    client_count=1,
    score=0.083,
    threshold=0.0021,
    reasons=(
        Reason(
            feature="publish_rate_10s",
            observed=812.0,
            usual=0.9,
            unit="1/s",
            share=0.61,
            text="publishes 812 messages/s, usually 0.9",
        ),
    ),
    sensor="amqtt",
)


def told(**changes: object) -> bytes:
    """An alert as it is published, at ten o'clock on 2026-11-23."""
    return encode(msgspec.structs.replace(CALM, **changes), 1_795_428_000.0)


@functools.cache
def _schema(version: str) -> Draft202012Validator:
    published = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    name = published.lookup_class_name_from_uid(ocsf.CLASS)
    return Draft202012Validator(published.get_class_schema(name, profiles=["security_control"]))


def complaints(found: dict[str, Any], version: str = ocsf.SCHEMA) -> list[str]:
    """What breaks the schema of a finding that OCSF has published."""
    return [f"{each.json_path}: {each.message}" for each in _schema(version).iter_errors(found)]


def numbers(text: str) -> dict[str, float]:
    """Each time series of a scrape, by its name and labels."""
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items())):
            sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip


def scrape(at: HostPort, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    """Status and body."""
    connection = http.client.HTTPConnection(at.host, at.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _can_mount() -> bool:
    return (
        os.geteuid() == 0
        and subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            check=False,
            capture_output=True,
        ).returncode
        == 0
    )


needs_mount = pytest.mark.skipif(not _can_mount(), reason="needs root, to mount a small disk")


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """`folder` as a disk of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={kilobytes}k,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        for _ in range(50):  # somebody may still be writing
            if subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


def fill(disk: Path) -> Path:
    """Leave no byte free there; the file that has to go for others to have room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler
