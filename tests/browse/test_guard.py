"""The guard of the App's server, around an application that answers everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from nirgen.browse.guard import Folders, Guard

if TYPE_CHECKING:
    from pathlib import Path

NONE = Folders(())


def ask(guard: Guard, url: str, method: str = "GET", kind: str = "http", **headers: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer; 0 for a websocket that is closed."""
    path, _, query = url.partition("?")
    fields = {"host": "localhost:5151"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {"type": kind, "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in fields.items()]}
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(guard(scope, None, send))
    return sent[0].get("status", 0), {name.decode(): value.decode() for name, value in sent[0].get("headers", ())}


async def everything(scope: Any, _receive: Any, send: Any) -> None:
    """An application that says 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})


def local(folders: Folders = NONE) -> Guard:
    return Guard(everything, "127.0.0.1", 5151, folders)


def far(address: str = "0.0.0.0") -> Guard:
    return Guard(everything, address, 5151, NONE, token="secret")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:5151", 200),
        ("127.0.0.1:5151", 200),
        ("127.0.0.1:6000", 200),  # through ssh -L
        ("[::1]:5151", 200),
        ("evil.example", 403),
        ("localhost.evil.example:5151", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.0.7:5151", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_only_the_names_of_the_loopback_are_answered(host: str, status: int) -> None:
    assert ask(local(), "/fiftyone", host=host)[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:5151", 200),
        ("http://localhost:5152", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "OPTIONS", "GET"])
def test_pages_of_other_origins_change_nothing(origin: str, status: int, method: str) -> None:
    assert ask(local(), "/graphql", method, origin=origin)[0] == status


def test_a_websocket_of_another_page_is_closed() -> None:
    assert ask(local(), "/events", kind="websocket", origin="http://evil.example")[0] == 0
    assert ask(local(), "/events", kind="websocket", origin="http://localhost:5151")[0] == 200


def test_another_site_embeds_nothing_but_may_link_here() -> None:
    site = {"sec_fetch_site": "cross-site"}
    assert ask(local(), "/media", sec_fetch_mode="no-cors", **site)[0] == 403
    assert ask(local(), "/datasets/D", sec_fetch_mode="navigate", **site)[0] == 200


def test_where_other_machines_reach_it_the_token_is_needed() -> None:
    there = {"host": "lab-7:5151"}
    status, headers = ask(far(), "/datasets/a%20b?token=secret&x=1", accept="text/html", **there)
    assert (status, headers["location"]) == (303, "/datasets/a%20b?x=1")
    cookie = headers["set-cookie"]
    assert cookie == "nirgen-5151=secret; Path=/; HttpOnly; SameSite=Lax"
    assert ask(far(), "/graphql", "POST", cookie="a=b; nirgen-5151=secret", **there)[0] == 200
    assert ask(far(), "/fiftyone", authorization="Bearer secret", **there)[0] == 200
    for wrong in ({}, {"cookie": "nirgen-5151=other"}, {"cookie": "nirgen-5152=secret"}, {"authorization": "Bearer "}):
        assert ask(far(), "/fiftyone", **wrong, **there)[0] == 401
    assert ask(far(), "/graphql", "POST", cookie="nirgen-5151=secret", origin="http://evil.example", **there)[0] == 403
    assert ask(far(), "//evil.example?token=secret", accept="text/html")[1]["location"] == "/evil.example"


def test_media_are_served_from_the_folders_of_loaded_datasets_only(tmp_path: Path) -> None:
    folder, new, outside = tmp_path / "D/images", tmp_path / "new", tmp_path / "outside"
    for each in (folder, new, outside):
        each.mkdir(parents=True)
        (each / "a.png").touch()
        (each / "secret").touch()
    (folder / "link.png").symlink_to(outside / "a.png")  # as in a dataset that was built with links
    (folder / "bad.png").symlink_to(outside / "secret")
    later: set[str] = set()
    guard = local(Folders([str(folder)], lambda: later))

    def get(path: object, more: str = "") -> int:
        return ask(guard, f"/media?filepath={quote(str(path))}{more}")[0]

    assert get(folder / "a.png") == get(folder / "link.png") == 200
    for path in ("/etc/passwd", outside / "a.png", folder / "bad.png", f"{folder}/../../outside/a.png"):
        assert get(path) == 403
    for path in ("relative.png", f"{folder}/sub/../a.png", f"{folder}//a.png", f"{folder}/a.png\0", ""):
        assert get(path) == 403
    assert get(folder / "a.png", "&filepath=/etc/passwd") == 403
    assert ask(guard, "/media/?filepath=/etc/passwd")[0] == 403
    assert ask(guard, "/media?filepath=/etc/passwd", "HEAD")[0] == 403
    assert get(new / "a.png") == 403
    later.add(str(new))
    assert get(new / "a.png") == 200
