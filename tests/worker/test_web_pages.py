"""Pages in a real browser cannot use a worker on the same machine, with or without its token."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Generator

import pytest
import requests

from .conftest import BEARER, TOKEN, Running

PAGE = """<!doctype html><script>
async function attack(worker, token) {
  const wanted = JSON.stringify({photo_sha256: "0".repeat(64)});
  const tries = [
    {url: "/v1/health/live"},
    {url: "/v1/capabilities", headers: {Authorization: "Bearer " + token}},
    {url: "/v1/preprocess/canny", method: "POST", mode: "no-cors", body: wanted},
    {url: "/v1/preprocess/canny", method: "POST", body: wanted,
     headers: {"Content-Type": "application/json", Authorization: "Bearer " + token}},
    {url: "/v1/blobs/" + "0".repeat(64), method: "PUT", body: "x"},
  ];
  const read = [];
  for (const {url, ...how} of tries) {
    try { read.push((await (await fetch(worker + url, how)).text())); } catch { read.push(null); }
  }
  return read;
}
</script>"""


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def site() -> Generator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.mark.browser
@pytest.mark.parametrize("sandboxed", [False, True])
def test_page_reads_nothing(
    running: Running, site: str, browser_path: str, sandboxed: bool
) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(site)
        frame = page.main_frame
        if sandboxed:  # its Origin is "null"
            page.evaluate(
                """site => new Promise(done => {
                  const frame = document.createElement("iframe");
                  frame.sandbox = "allow-scripts"; frame.src = site; frame.onload = done;
                  document.body.append(frame);
                })""",
                site,
            )
            frame = page.frames[1]
        read = frame.evaluate("([worker, token]) => attack(worker, token)", [running.url, TOKEN])
        browser.close()
    assert set(read) <= {None, ""}, read  # "": an opaque answer, which a page cannot read
    metrics = requests.get(f"{running.url}/v1/metrics", headers=BEARER, timeout=60).text
    posts = [row for row in metrics.splitlines() if 'route="/v1/preprocess' in row]
    assert posts == []  # no try came past the gate
    assert 'status="403"' in metrics
