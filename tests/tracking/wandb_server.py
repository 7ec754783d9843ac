"""A wandb server on 127.0.0.1: as much of one as runs, their files, artifacts and workspaces need.

It answers the GraphQL operations that `wandb` 0.31 sends by name, takes the lines of runs and the files that
are uploaded, and keeps everything for a test to look at. It can be told to fail.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

__all__ = ["ServedRun", "WandbServer", "wandb_server"]

ENTITY: Final = "someone"


@dataclass
class ServedRun:
    """A run as the server has it."""

    name: str
    """Its id for those who use it."""
    project: str
    given: dict[str, Any] = field(default_factory=dict)
    """Group, tags and so on, as they were last given."""
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """The history by writer and offset: a line that is sent twice to one offset replaces the first."""
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    ends: int = 0
    """How often it was told to be complete."""

    @property
    def history(self) -> list[dict[str, Any]]:
        return [self.lines[place] for place in sorted(self.lines)]

    def points(self, name: str = "turns/done") -> list[Any]:
        return [line[name] for line in self.history if name in line]

    def take_stream(self, writer: str, sent: Mapping[str, Any]) -> None:
        """Take what one request to the file stream holds."""
        for name, part in sent.get("files", {}).items():
            lines = (
                [json.loads(line) for line in part["content"]] if name.endswith((".json", ".jsonl")) else []
            )
            if name == "wandb-history.jsonl":
                places = ((writer, part["offset"] + number) for number in range(len(lines)))
                self.lines |= dict(zip(places, lines, strict=True))
            elif name == "wandb-summary.json":
                self.summary = lines[-1]
        self.ends += bool(sent.get("complete"))

    def node(self) -> dict[str, Any]:
        """The run as GraphQL names it."""
        project = {"id": self.project, "name": self.project, "entity": {"id": ENTITY, "name": ENTITY}}
        return {
            "id": f"id of {self.name}",
            "name": self.name,
            "displayName": self.given.get("displayName"),
            "config": json.dumps(self.config),
            "project": project,
            "historyLineCount": len(self.lines),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(line) for line in self.history[-1:]]),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(self.summary),
            "tags": self.given.get("tags") or [],
            "wandbConfig": json.dumps(self.config.get("_wandb", {}).get("value", {})),
        }


@dataclass
class WandbServer:
    """What a running server was told, and how it answers from now on."""

    url: str = ""
    runs: dict[str, ServedRun] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: what it was created with, and `files` by path."""
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Workspaces by id."""
    asked: list[str] = field(default_factory=list)
    """The GraphQL operations and paths in order of arrival."""
    keys: set[str] = field(default_factory=set)
    """The values of the Authorization headers."""
    status: int = 200
    """The status of every answer."""
    refuses: str = ""
    """Uploads whose path contains this text are refused with status 403; empty for none."""
    is_silent: bool = False
    """Whether no request is answered, until the server ends."""
    is_gone: bool = False
    """Whether every connection is closed without an answer."""
    ended: threading.Event = field(default_factory=threading.Event)

    def of_type(self, type_name: str) -> list[dict[str, bytes]]:
        """The files of each artifact of a type."""
        return [made["files"] for made in self.artifacts.values() if made["artifactTypeName"] == type_name]

    def graphql(self, operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The data that answers an operation.

        Raises:
            NotImplementedError: the server does not know the operation.
        """
        answer = getattr(self, f"_{_snake(operation)}", None)
        if answer is None:
            raise NotImplementedError(operation)
        data: dict[str, Any] = answer({**given, **given.get("input", {})})
        return data

    def _viewer(self, given: Mapping[str, Any]) -> dict[str, Any]:
        teams: dict[str, Any] = {"edges": []}
        named = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": named | {"teams": teams, "name": ENTITY, "apiKeys": {"edges": []}, "admin": False}}

    def _server_features_query(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _run_resume_status(self, given: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        entity = {"id": ENTITY, "name": ENTITY}
        return {
            "model": {"id": "1", "name": given["project"], "entity": entity, "bucket": run and run.node()}
        }

    def _upsert_bucket(self, given: Mapping[str, Any]) -> dict[str, Any]:
        name, is_new = given["name"], given["name"] not in self.runs
        run = self.runs.setdefault(name, ServedRun(name, given["project"]))
        run.given |= {key: value for key, value in given.items() if value is not None}
        run.config |= json.loads(given["config"] or "{}")
        return {"upsertBucket": {"bucket": run.node(), "inserted": is_new}}

    def _run_stopped_status(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"stopped": False}}}

    def _create_run_files(self, given: Mapping[str, Any]) -> dict[str, Any]:
        places = [
            {"name": name, "uploadUrl": f"{self.url}/put/run/{given['run']}/{name}"}
            for name in given["files"]
        ]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": places}}

    def _create_artifact(self, given: Mapping[str, Any]) -> dict[str, Any]:
        made = f"artifact{len(self.artifacts)}"
        self.artifacts[made] = {**given, "files": {}}
        artifact = {"id": made, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _artifact_type(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _create_artifact_manifest(self, given: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/put/manifest/{given['artifactID']}"
        file = {"id": "1", "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": given["artifactID"], "file": file}}}

    def _update_artifact_manifest(self, given: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/put/manifest/{given['artifactManifestID']}"
        file = {"id": "1", "uploadUrl": url, "uploadHeaders": []}
        manifest = {"id": given["artifactManifestID"], "file": file}
        return {"updateArtifactManifest": {"artifactManifest": manifest}}

    def _create_artifact_files(self, given: Mapping[str, Any]) -> dict[str, Any]:
        edges = []
        for wanted in given["artifactFiles"]:
            artifact, name = wanted["artifactID"], wanted["name"]
            node: dict[str, Any] = {
                "artifact": {"id": artifact},
                "storagePath": f"kept/{artifact}/{name}",
                "uploadUrl": f"{self.url}/put/artifact/{artifact}/{name}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit_artifact(self, given: Mapping[str, Any]) -> dict[str, Any]:
        made = given["artifactID"]
        self.artifacts[made]["is_committed"] = True
        return {"commitArtifact": {"artifact": {"id": made, "digest": self.artifacts[made]["digest"]}}}

    def _client_id_mapping(self, given: Mapping[str, Any]) -> dict[str, Any]:
        made = [id for id, artifact in self.artifacts.items() if artifact["clientID"] == given["clientID"]]
        return {"clientIDMapping": {"serverID": made[0]} if made else None}

    def _upsert_view2(self, given: Mapping[str, Any]) -> dict[str, Any]:
        is_new = given.get("id") not in self.views
        view = f"view{len(self.views)}" if is_new else given["id"]
        self.views[view] = dict(given) | {"id": view}
        return {"upsertView": {"view": {"id": view, "name": given["name"]}, "inserted": is_new}}

    def _view(self, given: Mapping[str, Any]) -> dict[str, Any]:
        found = [view for view in self.views.values() if view["name"] == given["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}

    def take_file(self, path: str, body: bytes) -> None:
        """Keep a file that is uploaded: of a run, of an artifact, or the manifest of one."""
        kind, owner, *name = path.removeprefix("/put/").split("/", 2)
        if kind == "run":
            self.runs[owner].files[name[0]] = body
        elif kind == "artifact":
            self.artifacts[owner]["files"][name[0]] = body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: WandbServer

    def do_POST(self) -> None:
        body = self._body()
        if self._is_reached():
            status, answer = self._answer(body)
            self._send(status, json.dumps(answer).encode())

    def do_PUT(self) -> None:
        body = self._body()
        if not self._is_reached():
            return
        if self.state.refuses and self.state.refuses in self.path:
            self._send(403, b"no space is left in your plan")
            return
        self.state.take_file(self.path, body)
        self._send(200, b"")

    def _answer(self, body: bytes) -> tuple[int, Any]:
        if self.state.status != 200:
            return self.state.status, {"errors": [{"message": "the server is ill"}]}
        sent = json.loads(body or b"{}")
        if self.path.endswith("/file_stream"):
            run = self.path.split("/")[-2]
            writer = self.headers.get("X-WANDB-ASYNC-CLIENT-ID") or ""
            self.state.runs[run].take_stream(writer, sent)
            return 200, {}
        if not self.path.endswith("/graphql"):
            return 404, {}
        [operation] = re.findall(r"(?:query|mutation)\s+(\w+)", sent["query"])[:1]
        self.state.asked[-1] = operation
        try:
            return 200, {"data": self.state.graphql(operation, sent.get("variables") or {})}
        except NotImplementedError:
            return 400, {"errors": [{"message": f"this server does not know {operation}"}]}

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _is_reached(self) -> bool:
        """Whether the request is to be answered; notes it."""
        self.state.asked.append(self.path)
        self.state.keys.add(self.headers.get("Authorization") or "")
        if self.state.is_silent:
            self.state.ended.wait()
        self.close_connection = self.state.is_silent or self.state.is_gone
        return not self.close_connection

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server that runs until the block ends."""
    state = WandbServer()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
