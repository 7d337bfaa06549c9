"""`nirgen doctor`: what each check says of machines that are not this one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nirgen import doctor
from nirgen.cli import app
from nirgen.doctor import Check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 10, 9), "broken"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "broken")],
)
def test_pythons_from_3_11_to_3_13_will_do(version: tuple[int, int, int], state: str) -> None:
    check = doctor.check_python(version)
    assert check.state == state
    assert check.stops == (state == "broken")


def test_a_required_package_that_is_absent_stops() -> None:
    check = doctor.check_packages(["rich", "no-such-distribution"])
    assert (check.state, check.remedy, check.stops) == ("missing", "pip install no-such-distribution", True)


def test_a_torchvision_that_does_not_fit_is_broken_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    (check,) = doctor.check_torch()
    assert (check.name, check.state, check.stops) == ("torch", "broken", True)


def test_a_gpu_that_torch_can_not_use_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda program: f"/usr/bin/{program}")
    assert doctor.check_cpu("cpu, 8 threads, AVX2").state == "warn"


def test_an_installation_without_a_model_stops(tmp_path: Path) -> None:
    check = doctor.check_model(tmp_path)
    assert (check.state, check.stops) == ("missing", True)


def test_a_model_that_is_no_model_is_broken_and_named(tmp_path: Path) -> None:
    (tmp_path / "compact.safetensors").write_bytes(b"not a model")
    check = doctor.check_model(tmp_path)
    assert (check.state, check.stops) == ("broken", True)
    assert "compact.safetensors" in check.detail


def test_the_embedded_model_is_whole() -> None:
    check = doctor.check_model(doctor.EMBEDDED)
    assert (check.state, check.detail) == ("ok", "compact (embedded, hash verified)")


def test_an_absent_extra_is_no_obstacle_and_its_remedy_is_named() -> None:
    check = doctor.check_extra("browse", "no-such-distribution")
    assert (check.state, check.remedy, check.stops) == ("missing", "in the clone: pip install '.[browse]'", False)


def test_the_databases_address_may_hold_a_password_and_is_not_shown() -> None:
    check = doctor.check_database("mongodb://user:secret@host")
    assert check.state == "ok"
    assert "secret" not in check.detail


@pytest.mark.parametrize(
    ("brought", "system", "state", "detail"),
    [
        (None, None, "missing", "no mongod that starts was found"),
        ("whole", "whole", "ok", "brought"),
        ("broken", None, "broken", "brought does not start: libcrypto.so.1.1 is missing"),
        ("broken", "whole", "warn", "system, which FiftyOne doesn't start by itself"),
        (None, "whole", "warn", "system, which FiftyOne doesn't start by itself"),
        (None, "broken", "missing", "no mongod that starts was found"),
    ],
)
def test_the_database_is_the_mongod_that_fiftyone_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brought: str | None, system: str | None, state: str, detail: str
) -> None:
    scripts = {"broken": "echo libcrypto.so.1.1 is missing >&2; exit 127", "whole": "echo db version v7"}
    for name, kind in (("brought", brought), ("system", system)):
        if kind is not None:
            (tmp_path / name).write_text(f"#!/bin/sh\n{scripts[kind]}\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(doctor, "_installed", lambda distribution: True)
    monkeypatch.setattr(doctor, "mongod_of_fiftyone", lambda: tmp_path / "brought" if brought else None)
    monkeypatch.setattr(doctor.shutil, "which", lambda program: str(tmp_path / "system") if system else None)
    check = doctor.check_database(None)
    assert (check.state, check.detail.replace(f"{tmp_path}/", "")) == (state, detail)
    assert (check.remedy == "nirgen doctor --fix") == (state == "broken")


def test_every_check_runs_in_order() -> None:
    names = [check.name for check in doctor.examine()]
    assert names == [
        "python", "packages", "torch", "device", "model", "extra browse", "extra ray", "extra detect", "database",
    ]  # fmt: skip


def test_the_first_rows_need_no_torch() -> None:
    script = (
        "import sys; from nirgen import doctor; rows = doctor.examine(); next(rows); next(rows); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "nirgen.doctor" in done.stdout.split()
    assert not {"torch", "numpy", "timm"} & {*done.stdout.split()}


@pytest.mark.parametrize(
    ("check", "exit_code"),
    [
        (Check("torch", "ok", "2.15", required=True), 0),
        (Check("torch", "warn", "2.15", required=True), 0),
        (Check("extra ray", "missing", "not installed"), 0),
        (Check("torch", "missing", "not installed", "pip install torch", required=True), 1),
        (Check("model", "broken", "truncated", "reinstall", required=True), 1),
    ],
)
def test_only_what_is_required_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, check: Check, exit_code: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda uri: [check])
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == exit_code
    assert all(text in shown.output for text in (check.name, check.state, check.detail, check.remedy))
    as_json = CliRunner().invoke(app, ["doctor", "--json"])
    assert as_json.exit_code == exit_code
    assert json.loads(as_json.output)[0]["state"] == check.state
