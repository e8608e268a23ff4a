"""Real servers on loopback for tests: a PostgreSQL cluster with passwords, and MLflow's tracking server on it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PASSWORD = "S3cret-of-the-database"
LONGEST_S = 600
"""Seconds that a server may take to start, on a busy machine."""


def composed(variables: Mapping[str, str]) -> dict[str, Any]:
    """The services of compose.yaml, its variables filled in as the specification says."""

    def fill(found: re.Match[str]) -> str:
        name, sense, rest = found["name"], found["sense"], found["rest"]
        if value := variables.get(name, ""):
            return value
        if sense == ":?":
            raise KeyError(f"{name}: {rest}")
        return str(rest or "")

    text = re.sub(
        r"\$\{(?P<name>\w+)(?:(?P<sense>:[-?])(?P<rest>[^}]*))?\}", fill, (ROOT / "compose.yaml").read_text()
    )
    return dict(yaml.safe_load(text)["services"])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def find(program: str) -> str | None:
    """A program of PostgreSQL; Debian keeps them off the PATH."""
    found = [shutil.which(program), *map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))]
    return next((path for path in found if path), None)


@dataclass
class Postgres:
    """A cluster in a temporary folder, run by a user without privileges; a context manager."""

    port: int = field(default_factory=free_port)
    folder: Path = Path()
    as_user: list[str] = field(default_factory=list)

    def __enter__(self) -> "Postgres":
        pytest.importorskip("psycopg")
        if find("initdb") is None or find("pg_ctl") is None:
            pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
        if os.getuid() == 0:  # PostgreSQL refuses to be root
            if (
                shutil.which("runuser") is None
                or subprocess.run(["id", "postgres"], capture_output=True).returncode
            ):
                pytest.skip("root cannot start PostgreSQL without runuser and the user postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        self.folder = Path(tempfile.mkdtemp(prefix="tamis-pg-", dir="/tmp"))  # sockets have short names
        (self.folder / "password").write_text(PASSWORD)
        for path in (self.folder, self.folder / "password"):
            if self.as_user:
                shutil.chown(path, "postgres")
        self._run("initdb", "-A", "scram-sha-256", "-U", "tamis", f"--pwfile={self.folder}/password")
        self.start()
        return self

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [*self.as_user, str(find(program)), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        options = f"-k {self.folder} -p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-w", "-o", options, "-l", f"{self.folder}/log", "start")

    def stop(self, how: str = "immediate") -> None:
        """immediate: as a crash."""
        self._run("pg_ctl", "-m", how, "stop", check=False)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, name: str) -> str:
        """A new database; returns its URL."""
        import psycopg

        with psycopg.connect(self._libpq("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return self.url(name)

    def _libpq(self, name: str) -> str:
        return f"postgresql://tamis:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def url(self, name: str = "postgres") -> str:
        return self._libpq(name).replace("postgresql:", "postgresql+psycopg:")


@dataclass
class MlflowServer:
    """``mlflow server`` with the options and the environment of compose.yaml; a context manager.

    settings: of compose.env, such as the place of the artifacts; default: they are in the server's folder.
    """

    store: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "MlflowServer":
        self.start()
        return self

    def start(self) -> None:
        """What compose.yaml starts, but for the places and fewer processes; the later option wins."""
        places = {"POSTGRES_PASSWORD": PASSWORD, "ARTIFACTS": str(self.folder), **self.settings}
        service = composed(places)["mlflow"]
        command = [sys.executable, "-m", *service["command"], "--workers=1"]
        command += ["--host=127.0.0.1", f"--port={self.port}"]
        environment = {**os.environ, **service["environment"], **self.settings}
        environment["MLFLOW_BACKEND_STORE_URI"] = self.store
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
            )
        ends = time.monotonic() + LONGEST_S
        while not self._is_healthy():
            if self.process.poll() is not None or time.monotonic() > ends:
                self.stop()
                raise RuntimeError(f"no server: {(self.folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.read() == b"OK")
        except OSError:
            return False

    def stop(self) -> None:
        """As a crash: nobody is told."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.stop()


class S3Store:
    """An S3-like store with an empty bucket, in threads of this process; a context manager."""

    SECRET = "S3cret-of-the-bucket"

    def __enter__(self) -> "S3Store":
        server = pytest.importorskip("moto.server")
        self.server = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.client.create_bucket(Bucket="tamis")
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def settings(self) -> dict[str, str]:
        """What compose.env says of it."""
        host, port = self.server.get_host_and_port()
        return {
            "ARTIFACTS": "s3://tamis/artifacts",
            "MLFLOW_S3_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "tamis",
            "AWS_SECRET_ACCESS_KEY": self.SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def client(self) -> Any:
        import boto3

        given = self.settings
        return boto3.client(
            "s3",
            endpoint_url=given["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region_name=given["AWS_DEFAULT_REGION"],
        )

    def files(self) -> dict[str, bytes]:
        """Name -> content."""
        found = self.client.list_objects_v2(Bucket="tamis").get("Contents", [])
        return {
            one["Key"]: self.client.get_object(Bucket="tamis", Key=one["Key"])["Body"].read() for one in found
        }


class Line:
    """A connection to a server that can be cut and mended, as a network is; a context manager.

    ``then`` is called when the ``after``-th run is about to be begun through it, which is not passed on.
    """

    def __init__(self, to: int, after: int = 0, then: Callable[[], None] | None = None) -> None:
        self.to, self.port = to, free_port()
        self.left, self.then = after, then or self.cut
        self.listener: socket.socket | None = None
        self.ends: set[socket.socket] = set()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Line":
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def mend(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        threading.Thread(target=self._listen, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        """Whoever is connected is disconnected, and nobody gets through."""
        if self.listener is not None:
            self.ends.add(self.listener)
        for end in list(self.ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.ends.clear()

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):  # until it is cut
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
                self.ends |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                if self.left and b"/runs/create " in data:
                    self.left -= 1
                    if not self.left:
                        self.then()
                        return
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
