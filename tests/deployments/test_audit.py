"""The audit of packages asks first whether there is anybody to ask."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deployments import audit


@contextmanager
def database(status: int, reply: object) -> Generator[str]:
    """A stand-in that gives every question the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["package"]["ecosystem"] == "PyPI"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def test_a_database_that_answers_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with database(200, {"vulns": [{"id": "GHSA-gpvv-69j7-gwj8"}]}) as address:
        assert audit.main([address]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("status", "reply"), [(503, {}), (200, {}), (200, "sign in first")])
def test_one_that_does_not_is_told_in_one_line(status: int, reply: object, capsys: pytest.CaptureFixture[str]) -> None:
    with database(status, reply) as address:
        assert audit.main([address]) == 1
    said = capsys.readouterr().out
    assert said.startswith("not audited: ") and said.count("\n") == 1


def test_no_network_at_all_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with database(200, {}) as address:
        pass
    assert audit.main([address]) == 1
    said = capsys.readouterr().out
    assert address in said and said.count("\n") == 1
