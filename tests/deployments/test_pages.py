"""Pages of a workspace over http: what a browser may see of it, and nothing else of the machine."""

import http.client
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from deployments import pages


@pytest.fixture
def port(tmp_path: Path) -> Generator[int]:
    root = tmp_path / "workspace"
    (root / "videos").mkdir(parents=True)
    (root / "report.html").write_text("<p>report")
    (root / "videos" / "one.png").write_bytes(b"picture")
    (root / "wmsd.duckdb").write_bytes(b"store")
    (tmp_path / "secret.html").write_text("elsewhere")
    (root / "way_out.html").symlink_to(tmp_path / "secret.html")
    server = pages.serve(root, 0)
    yield server.server_port
    server.shutdown()


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_pages_and_pictures_are_served(port: int, tmp_path: Path) -> None:
    assert get(port, "/report.html") == (200, b"<p>report")
    assert get(port, "/videos/one.png?size=1", host="localhost") == (200, b"picture")
    assert pages.served_at(port) == tmp_path / "workspace"


@pytest.mark.parametrize(
    "path",
    [
        "/wmsd.duckdb",
        "/videos/",
        "/videos",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/way_out.html",
        "/none.html",
    ],
)
def test_nothing_else_is(port: int, path: str) -> None:
    assert get(port, path)[0] == 404


def test_the_address_alone_links_to_every_page(port: int, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    (root / "browser").mkdir()
    (root / "browser" / "index.html").write_text("<p>frames")
    (root / "a & b.html").write_text("<p>odd")
    status, shown = get(port, "/")
    links = re.findall(r'href="([^"]+)"', shown.decode())
    assert status == 200 and links == ["/a%20%26%20b.html", "/browser/index.html", "/report.html"]
    assert [get(port, link)[0] for link in links] == [200, 200, 200] and b"a &amp; b.html" in shown
    assert get(port, "/", host="evil.example")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1]"])
def test_a_page_whose_name_was_made_to_point_here_gets_nothing(port: int, host: str) -> None:
    assert get(port, "/report.html", host)[0] == get(port, "/about", host)[0] == 404


@pytest.mark.parametrize(
    ("page", "policy"), [("http://127.0.0.1:4200/", "cross-origin"), ("https://elsewhere.example/", "same-origin")]
)
def test_pictures_are_shown_by_pages_of_this_machine_alone(port: int, page: str, policy: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/videos/one.png", headers={"Host": f"127.0.0.1:{port}", "Referer": page})
    assert connection.getresponse().getheader("Cross-Origin-Resource-Policy") == policy


def test_a_taken_port_is_replaced_by_a_free_one(port: int, tmp_path: Path) -> None:
    other = pages.serve(tmp_path, port)
    assert other.server_port != port
    other.shutdown()
