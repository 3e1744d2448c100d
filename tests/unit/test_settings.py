from __future__ import annotations

import pytest

from service.settings import Http


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:9108"),
        ("::", "http://[::1]:9108"),
        ("10.1.2.3", "http://10.1.2.3:9108"),
    ],
)
def test_an_address_to_listen_on_is_turned_into_one_to_ask(host, url):
    assert Http(host=host).url == url
