"""Pictures of MLflow for the docs, taken by a headless Chromium of a server on a tracking database.

python docs/screenshots.py --database mlruns/mlflow.db --out docs/images
python docs/screenshots.py --database mlruns/mlflow.db --out /tmp/pictures --width 1500 900

The experiment must hold at least one sweep of two trials or more: the newest sweep is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

HEIGHT = 760
"""Pixels of a picture."""
LONGEST_S, LONGEST_PAGE_S = 120, 30
"""Seconds that a server or a browser may take, and a page, some of which ask for news for ever."""
LONG_ENOUGH = 4
"""Seconds for which a page must have stayed the same."""
STATE = "document.body.innerHTML.length + ' ' + performance.getEntriesByType('resource').length"
"""JavaScript: what grows while a page is built."""
CLOSE = "mlflow.assistant.chat_panel.close"
TIDY = f"document.querySelectorAll('[data-component-id=\"{CLOSE}\"]').forEach(one => one.click())"
"""JavaScript that closes the panel of MLflow's assistant."""
EXPAND = "[...document.querySelectorAll('label')].find(one => one.innerText.trim() == 'Expand rows')?.click()"
"""JavaScript that shows the trials of each sweep in MLflow's table."""


def main() -> None:
    """Take the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", type=Path, required=True, help="MLflow's SQLite file")
    parser.add_argument("--experiment", default="tamis")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, nargs="+", default=[1500], help="pixels")
    parser.add_argument("--pages", nargs="+", help="names of the pictures; all, unless given")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        address = stack.enter_context(server(given.database.absolute()))
        debugger = stack.enter_context(browser())
        pages = pages_of(address, given.experiment)
        for width in given.width:
            suffix = "" if len(given.width) == 1 else f"-{width}"
            for name, (url, script) in pages.items():
                if given.pages and name not in given.pages:
                    continue
                path = given.out / f"mlflow-{name}{suffix}.png"
                path.write_bytes(asyncio.run(picture(debugger, url, width, script)))
                print(path)


def pages_of(address: str, experiment: str) -> dict[str, tuple[str, str]]:
    """Name of a picture -> its page, and the JavaScript that brings the page into the state that is shown."""
    client = MlflowClient(address)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        raise SystemExit(f"the database has no experiment {experiment}")
    at, id = f"{address}/#/experiments/{found.experiment_id}", found.experiment_id
    sweep = client.search_runs([id], "tags.`tamis.kind` = 'sweep'", max_results=1)[0].info.run_id
    children = client.search_runs([id], f"tags.`mlflow.parentRunId` = '{sweep}'", max_results=3)
    chosen = json.dumps([one.info.run_id for one in children])
    return {
        "experiment": (at, ""),
        "runs": (f"{at}/runs?workflowType=machine_learning&viewStateShareKey=tamis", EXPAND),
        "parent": (f"{at}/runs/{sweep}?workflowType=machine_learning", ""),
        "trial": (f"{at}/runs/{children[0].info.run_id}?workflowType=machine_learning", ""),
        "curves": (f"{at}/runs?compareRunsMode=CHART&viewStateShareKey=tamis", ""),
        "compare": (f"{address}/#/compare-runs?runs={chosen}&experiments=[%22{id}%22]", ""),
    }


async def picture(debugger: str, url: str, width: int, script: str) -> bytes:
    """A PNG of a page after its requests are answered, and after ``script``."""
    request = urllib.request.Request(f"{debugger}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(request) as answer:
        page = json.load(answer)
    tab = Tab(await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=2**28))
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=HEIGHT,
        deviceScaleFactor=1,
        mobile=False,
    )
    await tab.call("Page.navigate", url=url)
    await tab.settle()
    for one in filter(None, (TIDY, script)):
        await tab.call("Runtime.evaluate", expression=one)
    await tab.settle()
    shot = await tab.call("Page.captureScreenshot", format="png")
    await tab.call("Page.close")
    return base64.b64decode(shot["data"])


class Tab:
    """A tab of the browser, by its DevTools protocol."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self._n = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method, and wait for its answer."""
        self._n += 1
        await self._connection.write_message(
            json.dumps({"id": self._n, "method": method, "params": parameters})
        )
        while True:
            text = await self._connection.read_message()
            if text is None:
                raise ConnectionError(f"the browser closed the tab at {method}")
            answer = json.loads(text)
            if answer.get("id") == self._n:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    async def settle(self) -> None:
        """Wait until nothing has been added to the page, or asked of the server, for some seconds."""
        last, same = "", 0
        for _ in range(LONGEST_PAGE_S):
            await asyncio.sleep(1)
            found = await self.call("Runtime.evaluate", expression=STATE)
            text = found["result"].get("value", "")
            same = same + 1 if text and text == last else 0
            last = text
            if same == LONG_ENOUGH:
                return


@contextmanager
def server(database: Path) -> Iterator[str]:
    """MLflow's server on a database, on loopback; the address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    with started([*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]):
        address = f"http://127.0.0.1:{port}"
        asyncio.run(answers(f"{address}/health"))
        yield address


@contextmanager
def browser() -> Iterator[str]:
    """A headless Chromium; the address of its debugger."""
    port = free_port()
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        with started([*command, f"--user-data-dir={profile}", f"--remote-debugging-port={port}"]):
            address = f"http://127.0.0.1:{port}"
            asyncio.run(answers(f"{address}/json/version"))
            yield address


@contextmanager
def started(command: list[str]) -> Iterator[None]:
    """A program that is ended with the block."""
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        program.terminate()
        program.wait()


async def answers(url: str) -> None:
    """Wait until there is an answer at ``url``."""
    for _ in range(2 * LONGEST_S):
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            await asyncio.sleep(0.5)
    raise SystemExit(f"no answer from {url}")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    main()
