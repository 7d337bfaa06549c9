"""Problems of FiftyOne's database are reported at once, in one line with a remedy."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.browse import database, mongod
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def without_uri(fo: Any) -> Any:
    """FiftyOne's settings name no database while the test runs."""
    uri = fo.config.database_uri
    fo.config.database_uri = None
    yield
    fo.config.database_uri = uri


def test_without_the_extra_the_remedy_is_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.util, "find_spec", lambda name: None)
    with pytest.raises(NirgenError, match=r"FiftyOne isn't installed; pip install 'nirgen\[browse\]'"):
        database.open_fiftyone()


def test_a_mongod_that_is_not_there_is_said_to_be_missing(without_uri: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongod, "mongod_of_fiftyone", lambda: None)
    with pytest.raises(NirgenError, match=r"FiftyOne has no mongod .*--database-uri"):
        database.open_fiftyone()


def test_a_mongod_that_can_not_start_is_said_to_lack_its_library(
    without_uri: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho mongod: error while loading shared libraries: libcrypto.so.1.1 >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setattr(mongod, "mongod_of_fiftyone", lambda: broken)
    with pytest.raises(
        NirgenError, match=r"mongod: doesn't start \(.*libcrypto\.so\.1\.1\); run 'nirgen doctor --fix'.*--database-uri"
    ):
        database.open_fiftyone()


def test_a_server_that_does_not_answer_is_not_waited_for_long(
    mongodb: str, fo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SECONDS_TO_ANSWER", 1)
    start = time.monotonic()
    with pytest.raises(NirgenError, match=r"mongodb://127\.0\.0\.1:9: no MongoDB answers there .*Connection refused"):
        database._check_server("mongodb://anna:secret@127.0.0.1:9/", None)
    assert time.monotonic() - start < 20


def test_what_is_no_uri_is_said_to_be_none(fo: Any) -> None:
    with pytest.raises(NirgenError, match=r"not the URI of a MongoDB .*; an example is mongodb://127\.0\.0\.1:27017"):
        database._check_server("postgres://localhost:27017", None)


def test_a_server_that_is_too_old_is_refused_by_its_version(mongodb: str, fo: Any) -> None:
    from packaging.version import Version

    with pytest.raises(NirgenError, match=r"runs MongoDB 6\.0\.\d+, and FiftyOne needs 99\.0 or later; name another"):
        database._check_server(mongodb, Version("99.0"))


def test_nothing_phones_home_unless_it_is_told_to(mongodb: str, fo: Any) -> None:
    assert database.open_fiftyone(mongodb).config.do_not_track is True
    assert database.open_fiftyone(mongodb, track=True).config.do_not_track is False
    assert database.open_fiftyone(mongodb).config.do_not_track is True


def test_what_fiftyones_server_imports_of_ours_is_light() -> None:
    script = (
        "import sys; from nirgen.browse import app, operators\n"
        "heavy = {'numpy', 'pyarrow', 'torch', 'fiftyone', 'nirgen.scores'} & sys.modules.keys()\n"
        "assert 'nirgen.browse.fields' in sys.modules and not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_our_modules_can_be_imported_without_fiftyone() -> None:
    script = (
        "import sys; sys.modules['fiftyone'] = sys.modules['pymongo'] = sys.modules['bson'] = None\n"
        "from nirgen.browse import app, database, decisions, documents, fields, guard, load\n"
        "from nirgen.browse import mongod, operators, schema, selection, server"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
