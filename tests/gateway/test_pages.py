"""The files of the page and of the API's page, as they are served."""

from __future__ import annotations

import re

import pytest

from gateway.pages import PAGE, SWAGGER
from tests.gateway.door import Door

HTML = ["/", "/api"]


@pytest.mark.parametrize("path", HTML)
async def test_a_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(door: Door, path: str) -> None:
    answer = await door.http.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    for directive in ("default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|(src|href)=.https?:", answer.text)


@pytest.mark.parametrize("path", HTML)
async def test_whatever_a_page_asks_for_is_there(door: Door, path: str) -> None:
    for asked in set(re.findall(r'(?:src|href)="(/[^"]*)"', (await door.http.get(path)).text)):
        assert (await door.http.get(asked)).status_code == 200, asked


async def test_modules_that_the_scripts_import_are_there() -> None:
    for name, file in PAGE.items():
        if name.endswith(".js"):
            for module in re.findall(r'from "\./([^"]+)"', file.content.decode()):
                assert module in PAGE, f"{name} imports {module}"


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "api.html", "..%2fapp.py", "%2e%2e/app.py"])
async def test_nothing_else_of_the_machine_is_served(door: Door, name: str) -> None:
    assert (await door.http.get(f"/page/{name}")).status_code == 404


async def test_a_file_that_the_browser_has_is_not_sent_again(door: Door) -> None:
    first = await door.http.get("/page/page.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = await door.http.get("/page/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_swagger_ui_is_the_package_s_own() -> None:
    assert len(SWAGGER["swagger-ui-bundle.js"].content) > 500_000
