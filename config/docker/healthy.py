"""Exit code 0 when the service answers at a path with 200: healthy.py /healthz, or /readyz."""

import os
import sys
from http.client import HTTPConnection

# Straight to the port, whatever proxies the environment names.
connection = HTTPConnection(
    "127.0.0.1", int(os.environ.get("BILLING_HTTP_PORT", "9108")), timeout=4
)
try:
    connection.request("GET", sys.argv[1])
    answer = connection.getresponse()
    sys.exit(0 if answer.status == 200 else f"{answer.status} {answer.read().decode()}")
except OSError as error:
    sys.exit(f"no answer from billing-service: {error}")
