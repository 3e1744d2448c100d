from __future__ import annotations

import pamqp.frame
import pytest

from bench.formats import Publication
from bench.lab.messages import publications
from bench.lab.wire import Confirmed, marshal
from bench.lab.workload import Kind, Workload


def unmarshalled(data: bytes) -> list[object]:
    frames = []
    while data:
        size, _, frame = pamqp.frame.unmarshal(data)
        data = data[size:]
        frames.append(frame)
    return frames


@pytest.mark.parametrize("kind", Kind)
def test_marshals_what_pamqp_reads(kind: Kind) -> None:
    for message in publications(Workload(kind, events=10, cdrs=100)):
        header, body = unmarshalled(marshal(message))
        assert body.value == message.body
        assert header.body_size == len(message.body)
        assert header.properties.delivery_mode == 1
        assert header.properties.message_id == message.message_id
        assert (header.properties.headers or {}) == dict(message.headers)


def test_headers_keep_their_order_and_characters() -> None:
    headers = {"z": "é" * 200, "a": ""}
    header, _ = unmarshalled(marshal(Publication("", "", "ñ".encode(), "id-é", headers)))
    assert list(header.properties.headers.items()) == list(headers.items())
    assert header.properties.message_id == "id-é"


def test_counts_each_confirm_once_in_whatever_order() -> None:
    confirmed = Confirmed()
    for tag in (3, 1):
        confirmed.add(tag, multiple=False)
    assert len(confirmed) == 2
    confirmed.add(5, multiple=True)
    assert len(confirmed) == 5
    confirmed.add(4, multiple=True)
    confirmed.add(2, multiple=False)
    assert len(confirmed) == 5
    confirmed.add(7, multiple=False)
    confirmed.add(6, multiple=False)
    assert len(confirmed) == 7
