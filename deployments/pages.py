"""Pages and pictures of a workspace over http, on loopback alone: a browser opens no `file://` link from the Prefect UI.

Only what a browser shows is served, by its ending, and nothing that a link leads to outside the workspace. A request must
name this machine as its host: a page from elsewhere whose name is made to point here (DNS rebinding) gets nothing, and no page
from elsewhere can show a picture of the workspace.
"""

import json
import threading
import urllib.request
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

SHOWN = frozenset({".html", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm"})
HOSTS = frozenset({"127.0.0.1", "localhost"})


def serve(root: Path, port: int) -> ThreadingHTTPServer:
    """Serves the folder from a thread, on `port` or, where that is taken, on a free one."""
    handler = partial(_Pages, directory=str(root.resolve()))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def served_at(port: int) -> Path | None:
    """Which folder is served on a port of this machine; None where none is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/about", timeout=5) as reply:
            return Path(json.load(reply)["workspace"])
    except (OSError, ValueError, KeyError):
        return None


class _Pages(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/about" and self._is_for_us():
            self._say("application/json", json.dumps({"workspace": self.directory}))
        elif self.path == "/" and self._is_for_us():
            self._say("text/html; charset=utf-8", _contents(Path(self.directory)))
        elif self._allowed():
            super().do_GET()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        if self._allowed():
            super().do_HEAD()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _allowed(self) -> bool:
        path = Path(self.translate_path(self.path)).resolve()
        within = path.is_relative_to(self.directory)
        return self._is_for_us() and within and path.suffix.lower() in SHOWN and path.is_file()

    def _is_for_us(self) -> bool:
        return self.headers.get("Host", "").rpartition(":")[0] in HOSTS

    def _say(self, kind: str, text: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        # The Prefect UI shows pictures from here. To a browser another port of an address is another site.
        asking = urlsplit(self.headers.get("Referer", "")).hostname
        self.send_header("Cross-Origin-Resource-Policy", "cross-origin" if asking in HOSTS else "same-origin")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """A line for each picture is of no use to anybody."""


def _contents(root: Path) -> str:
    """A page with a link to each page of the workspace: those that lie in it, and the first ones of its folders."""
    found = (path for path in (*root.glob("*.html"), *root.glob("*/index.html")) if path.resolve().is_relative_to(root))
    pages = [path.relative_to(root).as_posix() for path in found]
    links = "".join(f'<li><a href="/{quote(page)}">{escape(page)}</a></li>' for page in sorted(pages))
    missing = "<p>There is no page yet: <code>wmsd report</code> and <code>wmsd browse</code> write some.</p>"
    title = escape(f"Pages of {root.name}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<body style="font:16px/1.6 system-ui;max-width:40em;margin:3em auto;padding:0 1em"><h1>{title}</h1>'
        + (f"<ul>{links}</ul>" if links else missing)
    )
