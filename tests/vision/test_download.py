"""Downloads from a server of our own: whole, resumed, wrong, and impossible."""

from __future__ import annotations

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_datasets import idx_bytes, small

from numbagrad.vision import datasets
from numbagrad.vision.datasets.download import download

CONTENT = bytes(range(256)) * 40
PACKED = gzip.compress(CONTENT, mtime=0)
DIGEST = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.files``; a path under /cut/ breaks off in the middle, one under /whole/ knows nothing of ranges."""

    def do_GET(self):
        mode, _, name = self.path.lstrip("/").partition("/")
        data = self.server.files.get(name)
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.server.requests.append((mode, name, start))
        if data is None:
            self.send_error(404)
            return
        if mode == "whole":
            start = 0
        if start >= len(data):
            self.send_error(416)
            return
        body = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if mode == "cut" else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files = {"data.gz": PACKED}
        running.requests = []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_whole(server, tmp_path):
    target = tmp_path / "new" / "data.gz"
    download([f"{server.url}/good/data.gz"], target, DIGEST)
    assert target.read_bytes() == PACKED and list(target.parent.iterdir()) == [target]


def test_digest_of_compressed_bytes(server, tmp_path):
    target = tmp_path / "data.gz"
    with pytest.raises(RuntimeError, match="MD5"):
        download([f"{server.url}/good/data.gz"], target, DIGEST, compressed_digest=True)
    download([f"{server.url}/good/data.gz"], target, hashlib.md5(PACKED).hexdigest(), compressed_digest=True)
    assert target.read_bytes() == PACKED


@pytest.mark.parametrize("mode", ["good", "whole"])
def test_resumed(server, tmp_path, mode):
    target = tmp_path / "data.gz"
    with pytest.raises(RuntimeError, match="connection closed"):
        download([f"{server.url}/cut/data.gz"], target, DIGEST)
    part = tmp_path / "data.gz.part"
    assert not target.exists() and part.stat().st_size == len(PACKED) // 2
    download([f"{server.url}/{mode}/data.gz"], target, DIGEST)
    assert server.requests[-1][2] == len(PACKED) // 2
    assert target.read_bytes() == PACKED and not part.exists()


def test_another_mirror_takes_over(server, tmp_path):
    target = tmp_path / "data.gz"
    urls = [f"{server.url}/good/missing.gz", f"{server.url}/cut/data.gz", f"{server.url}/good/data.gz"]
    download(urls, target, DIGEST)
    assert target.read_bytes() == PACKED and server.requests[-1][2] == len(PACKED) // 2


@pytest.mark.parametrize("left", [b"something else", PACKED[:-1] + b"x", PACKED + b"more", PACKED])
def test_part_that_is_of_something_else(server, tmp_path, left):
    target = tmp_path / "data.gz"
    (tmp_path / "data.gz.part").write_bytes(left)
    download([f"{server.url}/good/data.gz"], target, DIGEST)
    assert target.read_bytes() == PACKED


def test_wrong_content_replaces_nothing(server, tmp_path):
    target = tmp_path / "data.gz"
    target.write_bytes(b"old")
    server.files["data.gz"] = gzip.compress(b"other")
    with pytest.raises(RuntimeError, match=f"(?s)could not be downloaded.*MD5 .* instead of {DIGEST}"):
        download([f"{server.url}/good/data.gz"], target, DIGEST)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_no_mirror_works(server, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        download([f"{server.url}/good/missing.gz", "http://127.0.0.1:9/data.gz"], tmp_path / "data.gz", DIGEST)
    assert "404" in str(caught.value) and "127.0.0.1:9" in str(caught.value)


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RuntimeError, match="cannot write"):
        download([f"{server.url}/good/data.gz"], tmp_path / "file" / "data.gz", DIGEST)


def test_mnist_downloads_what_is_missing(server, tmp_path):
    class Small(datasets.MNIST):
        mirrors = [f"{server.url}/good/"]
        resources = {}

    for part, n, seed in (("train", 20, 0), ("t10k", 7, 1)):
        images, labels = small(n, seed)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            Small.resources[name] = hashlib.md5(idx_bytes(array)).hexdigest()
            server.files[f"{name}.gz"] = gzip.compress(idx_bytes(array))
    assert len(Small(tmp_path, download=True)) == 20 and len(server.requests) == 4
    (tmp_path / "Small" / "raw" / "t10k-images-idx3-ubyte.gz").unlink()
    assert len(Small(tmp_path, train=False, download=True)) == 7 and len(server.requests) == 5
    del server.files["t10k-images-idx3-ubyte.gz"]
    (tmp_path / "Small" / "raw" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(RuntimeError, match="could not be downloaded"):
        Small(tmp_path, train=False, download=True)
