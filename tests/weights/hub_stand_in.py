"""A stand-in for the Hub on this machine, with faults to order: enough for downloads and uploads by its own client.

A folder `ROOT/ORG/NAME` is a repository with one commit, whose name is a digest of the contents; a push replaces files.
Files that hold weights count as large ones: their ETag is their SHA-256, that of others git's SHA-1.
"""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".pth", ".tar", ".pt")


@dataclass
class Fault:
    """What goes wrong with the requests whose method and path match; `times` of them, or all with -1."""

    path: str = ".*"
    method: str = ".*"
    times: int = -1
    status: int = 0  # answer with this status …
    code: str = ""  # … and this X-Error-Code
    reset_after: int = -1  # break the connection after so many bytes of the body
    end_after: int = -1  # close it in an orderly way after so many bytes
    shorten: int = 0  # leave out so many bytes at the end, and say so in Content-Length
    corrupt: bool = False  # other bytes in the middle, same length
    body: bytes | None = None  # this instead of the body
    drop: tuple[str, ...] = ()  # leave these headers out
    headers: dict[str, str] = field(default_factory=dict)  # set these headers
    delay: float = 0.0  # seconds before the answer


class Hub:
    """The server, as a context manager: `with Hub(root) as hub` listens at `hub.url`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []  # method and path of each
        self.branches: set[str] = {"main"}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def files(self, repo: str) -> dict[str, bytes] | None:
        """Contents by name; None where there is no such repository."""
        folder = self.root / repo
        if not folder.is_dir():
            return None
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    def commit(self, repo: str) -> str:
        """The name of the commit, a digest of the contents."""
        digest = hashlib.sha1(repo.encode())
        for name, data in (self.files(repo) or {}).items():
            digest.update(name.encode() + hashlib.sha1(data).digest())
        return digest.hexdigest()


def etag(name: str, data: bytes) -> str:
    if name.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fault = Fault()

    def log_message(self, *_: object) -> None:
        pass

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):  # the client has hung up, or a fault has
            self.close_connection = True

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        self.hub.requests.append((self.command, path))
        self.fault = self._fault(path)
        time.sleep(self.fault.delay)
        if self.fault.status:
            self._error(self.fault.status, self.fault.code)
            return
        for methods, pattern, answer in _ROUTES:
            if self.command in methods and (match := re.fullmatch(pattern, path)):
                answer(self, body, **match.groupdict())
                return
        self._error(404)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  the names that the server looks for

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _fault(self, path: str) -> Fault:
        for fault in self.hub.faults:
            if fault.times and re.fullmatch(fault.method, self.command) and re.search(fault.path, path):
                fault.times -= fault.times > 0
                return fault
        return Fault()

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        fault = self.fault
        body = body if fault.body is None else fault.body
        length = len(body) - fault.shorten
        if fault.corrupt:
            middle = len(body) // 2
            body = body[:middle] + bytes(byte ^ 0xFF for byte in body[middle : middle + 64]) + body[middle + 64 :]
        headers = {"Content-Length": str(length), **(headers or {}), **fault.headers}
        self.send_response(status)
        for name, value in headers.items():
            if name not in fault.drop:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = max(fault.reset_after, fault.end_after)
        self.wfile.write(body[: cut if cut >= 0 else length])
        if cut >= 0:
            self.wfile.flush()
            if fault.reset_after >= 0:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _error(self, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
        self._json({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})})

    def _unknown(self, repo: str, revision: str | None) -> bool:
        """Answers for what does not exist."""
        if self.hub.files(repo) is None:
            self._error(404, "RepoNotFound")
        elif revision is not None and revision not in self.hub.branches | {self.hub.commit(repo)}:
            self._error(404, "RevisionNotFound")
        else:
            return False
        return True

    def info(self, body: bytes, repo: str, revision: str | None = None) -> None:
        if self._unknown(repo, revision):
            return
        siblings = []
        for name, data in (self.hub.files(repo) or {}).items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": etag("", data)}
            if name.endswith(LARGE):
                entry["lfs"] = {"sha256": etag(name, data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        self._json({"_id": "0", "id": repo, "sha": self.hub.commit(repo), "siblings": siblings, "private": False})

    def resolve(self, body: bytes, repo: str, revision: str, name: str) -> None:
        if self._unknown(repo, revision):
            return
        files, commit = self.hub.files(repo) or {}, {"X-Repo-Commit": self.hub.commit(repo)}
        if name not in files:
            self._error(404, "EntryNotFound", commit)
            return
        data = files[name]
        headers = {**commit, "ETag": f'"{etag(name, data)}"', "Accept-Ranges": "bytes"}
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and self.command == "GET":
            start = int(wanted[1])
            self._send(206, data[start:], {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
        else:
            self._send(200, data, headers)

    def create(self, body: bytes) -> None:
        request = json.loads(body)
        repo = f"{request.get('organization') or 'me'}/{request['name']}"
        exists = self.hub.files(repo) is not None
        (self.hub.root / repo).mkdir(parents=True, exist_ok=True)
        self._json({"url": f"{self.hub.url}/{repo}", "id": "0", "name": repo}, 409 if exists else 200)

    def validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        if not self._unknown(repo, revision):
            paths = [file["path"] for file in json.loads(body)["files"]]
            self._json({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})

    def push(self, body: bytes, repo: str, revision: str) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                path = self.hub.root / repo / entry["value"]["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(entry["value"]["content"]))
        commit = self.hub.commit(repo)
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{commit}", "commitOid": commit, "success": True})


_REPO, _REVISION = r"(?P<repo>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
_ROUTES = (
    (("GET", "HEAD"), rf"/{_REPO}/resolve/{_REVISION}/(?P<name>.+)", _Handler.resolve),
    (("GET",), rf"/api/models/{_REPO}(?:/revision/{_REVISION})?", _Handler.info),
    (("POST",), r"/api/repos/create", _Handler.create),
    (("POST",), r"/api/validate-yaml", _Handler.validate),
    (("POST",), rf"/api/models/{_REPO}/preupload/{_REVISION}", _Handler.preupload),
    (("POST",), rf"/api/models/{_REPO}/commit/{_REVISION}", _Handler.push),
)
