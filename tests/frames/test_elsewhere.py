"""Sources that are no files of this machine, or many to a file: fetched once, named in the ledger, and lost by no server."""

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.frames.pictures import encode, folder_of, scene
from wmsd_core.config import Config
from wmsd_core.frames import FramesConfig, Registered, register, remote, source_of
from wmsd_core.frames.columns import Columns
from wmsd_core.frames.fetching import FetchConfig
from wmsd_core.store import reading

PICTURES = [encode(scene(n)) for n in range(6)]
HASTY = FetchConfig(tries=1, patience=2, give_up=3, at_once=2)


def took(tmp_path: Path, source: str | Path | list[str], **settings: Config) -> Registered:
    return register(tmp_path / "w" / "store.duckdb", source, FramesConfig(**{"fetch": HASTY, **settings}))


def lines(tmp_path: Path) -> dict[str, tuple[str, str]]:
    """Item -> fate and reason."""
    with reading(tmp_path / "w" / "store.duckdb") as con:
        return {item: rest for item, *rest in con.execute("SELECT item, fate, reason FROM files").fetchall()}  # type: ignore[misc]


def frames(tmp_path: Path) -> list[tuple[str, str]]:
    with reading(tmp_path / "w" / "store.duckdb") as con:
        return con.execute("SELECT source, licence FROM frames ORDER BY path").fetchall()


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def parquet(file: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A real S3 server on loopback, with pictures in a bucket."""
    from moto.server import ThreadedMotoServer

    serving = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    serving.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*serving.get_host_and_port()))
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        remote._connected.cache_clear()
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        bucket.mkdir("pictures")
        for number, picture in enumerate(PICTURES[:4]):
            bucket.pipe_file(f"pictures/{'ab'[number % 2]}/{number}.png", picture)
        bucket.pipe_file("pictures/a/notes.txt", b"words")
        yield "s3://pictures"
        serving.stop()
        remote._connected.cache_clear()


def test_a_bucket_is_taken_as_a_folder_and_a_rerun_fetches_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = took(tmp_path, "s3://pictures")
    assert (found.files, found.new, found.ignored) == (4, 4, 1)
    assert lines(tmp_path)["s3://pictures/b/3.png"] == ["registered", ""]
    monkeypatch.setattr(remote, "fetch", None)
    found = took(tmp_path, "s3://pictures")
    assert (found.new, found.known, found.rejected) == (0, 4, {})


def test_a_pattern_an_object_and_one_that_has_changed(server: str, tmp_path: Path) -> None:
    assert took(tmp_path, "s3://pictures/*/[01].png").new == 2
    assert took(tmp_path, "s3://pictures/b/3.png").new == 1
    bucket = fsspec.filesystem("s3", skip_instance_cache=True)
    bucket.pipe_file("pictures/b/3.png", PICTURES[5])
    found = took(tmp_path, "s3://pictures/b/3.png")
    bucket.pipe_file("pictures/b/3.png", PICTURES[3])
    assert found.new == 1
    with reading(tmp_path / "w" / "store.duckdb") as con:
        assert con.execute("SELECT reason FROM rejections").fetchall() == [("missing",)]


def test_shards_and_manifests_in_a_bucket(server: str, tmp_path: Path) -> None:
    shard = tar(tmp_path / "0.tar", {f"{n}.png": PICTURES[n] for n in range(2)})
    rows = "path,licence\na/0.png,CC0\n../b/1.png,\ns3://other/x.png,\n"
    bucket = fsspec.filesystem("s3", skip_instance_cache=True)
    bucket.mkdir("shards")
    bucket.pipe_file("shards/000.tar", shard.read_bytes())
    bucket.pipe_file("pictures/list.csv", rows.encode())
    found = took(tmp_path, ["s3://pictures/list.csv", "s3://shards/{000..000}.tar"])
    bucket.rm("pictures/list.csv")
    assert (found.new, found.rejected) == (2, {"outside": 2, "duplicate": 1})
    assert lines(tmp_path)["s3://shards/000.tar:1.png"] == ["registered", ""]
    assert not list((tmp_path / "w" / "fetched" / "objects").rglob("*.tar"))


def test_a_server_that_dies_costs_no_picture(server: str, tmp_path: Path) -> None:
    took(tmp_path, "s3://pictures/a/0.png")
    system, listing = remote._connected("s3", True), list(remote.below("s3://pictures"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "below", lambda address: iter(listing))
        patch.setattr(remote, "_connected", lambda *_: dead)
        dead = type(system)(
            endpoint_url="http://127.0.0.1:9", skip_instance_cache=True, config_kwargs={"connect_timeout": 1}
        )
        dead.retries = 1
        found = took(tmp_path, "s3://pictures")
    assert (found.known, found.rejected) == (1, {"unreachable": 3})
    found = took(tmp_path, "s3://pictures")
    assert (found.new, found.known, found.rejected) == (3, 1, {})
    assert {fate for fate, _ in lines(tmp_path).values()} == {"registered", "ignored"}


@contextmanager
def web(answers: dict[str, bytes | str | None]) -> Iterator[str]:
    """A web server on loopback: a path's bytes, the address that it points to, or (None) bytes that never end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            match answers.get(self.path, b""):
                case bytes(content):
                    self.send_response(200 if content else 404)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content if self.command == "GET" else b"")
                case str(address):
                    self.send_response(302)
                    self.send_header("Location", address)
                    self.end_headers()
                case None:
                    self.send_response(200)
                    self.end_headers()
                    ended.wait(30)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    asked: list[str] = []
    ended = threading.Event()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.asked = asked  # type: ignore[attr-defined]
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}"
    finally:
        ended.set()
        serving.shutdown()
        serving.server_close()


def test_a_manifest_makes_nobody_ask_for_an_address_that_was_not_allowed(tmp_path: Path) -> None:
    answers: dict[str, bytes | str | None] = {
        "/open/0.png": PICTURES[0],
        "/secret.png": PICTURES[1],
        "/open/away.png": "/secret.png",
    }
    with web(answers) as address:
        names = [
            "/open/0.png",
            "/secret.png",
            "/open/../secret.png",
            "/opener/0.png",
            "/open/away.png",
            "/open/none.png",
        ]
        rows = [json.dumps({"url": address + name}) for name in names]
        listing = tmp_path / "list.jsonl"
        listing.write_text("\n".join(rows))
        columns = Columns(path="url")
        assert took(tmp_path, listing, columns=columns).rejected == {"outside": 6}
        allowed = HASTY.model_copy(update={"allow": (f"{address}/open",)})
        found = took(tmp_path, listing, columns=columns, fetch=allowed)
        assert (found.new, found.rejected) == (1, {"outside": 3, "unreachable": 2})


@pytest.mark.parametrize(
    "address",
    [
        "https://user:word@host/x.png",
        "https://host/x.png?X-Amz-Signature=1",
        "https://h/x.png?sig=1",
        "zip://a::s3://b/c.zip",
    ],
)
def test_an_address_with_a_secret_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(ValueError, match=r"secret|within another") as told:
        source_of(address)
    assert "word" not in str(told.value) and "=1" not in str(told.value)


def test_slow_servers_end_and_failing_ones_are_not_asked_on_and_on(tmp_path: Path) -> None:
    with web({"/0.png": None, **{f"/{n}.png": None for n in range(1, 6)}}) as address:
        listing = tmp_path / "list.csv"
        listing.write_text("path\n" + "\n".join(f"{address}/{n}.png" for n in range(6)))
        hasty = HASTY.model_copy(update={"allow": (address,), "patience": 0.3, "at_once": 1})
        assert took(tmp_path, listing, fetch=hasty).rejected == {"unreachable": 6}
    with reading(tmp_path / "w" / "store.duckdb") as con:
        told = [detail for (detail,) in con.execute("SELECT detail FROM files ORDER BY item").fetchall()]
    assert ["not tried" in one for one in told] == [False] * 3 + [True] * 3


def test_a_webdataset_is_unpacked_once_its_json_speaks_of_its_pictures_and_faults_are_told(tmp_path: Path) -> None:
    shard = tar(
        tmp_path / "000.tgz",
        {
            "a/0.png": PICTURES[0],
            "a/0.json": b'{"rights": "CC0", "source": "photos"}',
            "a/0.txt": b"words",
            "../1.png": PICTURES[1],
            "2.json": b"no json",
            "2.png": PICTURES[2],
            "3.jpg": b"no picture",
            "4.png": bytes(200),
        },
    )
    (tmp_path / "out.png").write_bytes(PICTURES[5])
    with tarfile.open(tmp_path / "001.tar", "w") as archive:
        link = tarfile.TarInfo("5.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "out.png")
        archive.addfile(link)
    columns = Columns(licence="rights")
    found = took(tmp_path, str(tmp_path / "{000..000}.tgz"), columns=columns)
    assert (found.new, found.rejected) == (3, {"not_an_image": 2})
    assert frames(tmp_path) == [("photos", "CC0"), (str(shard), ""), (str(shard), "")]
    assert lines(tmp_path)[f"{shard}:2.png"] == ["registered", "value_left_out"]
    assert all((tmp_path / "w").resolve() in file.resolve().parents for file in tmp_path.rglob("*0001.png"))
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "w" / "fetched").rglob("*")}
    found = took(tmp_path, shard, columns=columns)
    assert (found.new, found.known) == (0, 3)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "w" / "fetched").rglob("*")} == written
    assert took(tmp_path, str(tmp_path / "*.tar")).new == 0  # a link in a tar is no picture


def test_a_shard_that_is_cut_short_gives_what_it_has_and_is_read_again(tmp_path: Path) -> None:
    whole = tar(tmp_path / "0.tar", {f"{n}.png": PICTURES[n] for n in range(3)}).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: whole.index(PICTURES[2]) + 10])
    found = took(tmp_path, tmp_path / "0.tar")
    assert (found.new, found.rejected) == (2, {"damaged": 1})
    (tmp_path / "0.tar").write_bytes(whole)
    found = took(tmp_path, tmp_path / "0.tar")
    assert (found.new, found.known, found.rejected) == (1, 2, {})


def test_parquet_and_datasets_with_pictures_inside(tmp_path: Path) -> None:
    held = [
        {"bytes": PICTURES[0], "path": "x.png"},
        {"bytes": PICTURES[1], "path": None},
        {"bytes": None, "path": "/etc/x.png"},
    ]
    table = parquet(tmp_path / "a.parquet", image=held, path=["x", "y", "z"], license=["CC0", None, None])
    found = took(tmp_path, table)
    assert (found.new, found.rejected) == (2, {"incomplete": 1})
    assert lines(tmp_path)[f"{table}:3"] == ["rejected", "incomplete"]
    plain = parquet(tmp_path / "b.parquet", photo=PICTURES[2:4], origin=["here", "there"])
    with pytest.raises(ValueError, match=r"no column path; its columns are photo, origin"):
        took(tmp_path, plain)
    assert took(tmp_path, plain, columns=Columns(picture="photo", source="origin")).new == 2
    assert ("there", "") in frames(tmp_path)


def test_a_dataset_that_hugging_face_s_library_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"image": [{"bytes": one, "path": None} for one in PICTURES[:3]]})
    datasets.DatasetDict({"train": rows.cast_column("image", datasets.Image())}).save_to_disk(tmp_path / "set")
    assert took(tmp_path, tmp_path / "set").new == 3


def test_a_table_of_text_is_a_manifest_and_its_columns_can_be_named(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", 3)
    listing = tmp_path / "metadata.csv"
    listing.write_bytes(
        "\ufefffile_name,rights\r\nimages/000.png,CC0\r\n,\r\nimages/gone.png,\r\nimages/001.png\r\n".encode()
    )
    with pytest.raises(ValueError, match=r"no column path; .* --set scan.columns.path=NAME"):
        took(tmp_path, listing)
    found = took(tmp_path, listing, columns=Columns(path="file_name", licence="rights"))
    assert (found.new, found.rejected) == (2, {"incomplete": 2})
    assert lines(tmp_path)[f"{listing}:3"] == ["rejected", "incomplete"]
    assert [licence for _, licence in frames(tmp_path)] == ["CC0", ""]
    (tmp_path / "list.tsv").write_text('path\tnote\nimages/002.png\t"' + "x" * 200_000 + '"\n')
    assert took(tmp_path, tmp_path / "list.tsv").rejected == {"incomplete": 1}


def test_an_address_without_its_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    remote._connected.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(ValueError, match="pip install gcsfs"):
        list(source_of("gs://bucket/x.png").found())
    with pytest.raises(ValueError, match="no kind of address"):
        list(source_of("nonsense://bucket/x.png").found())
