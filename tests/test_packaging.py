"""The wheel: built here, installed without development packages, and run."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
IMPORT_EVERYTHING = """
import importlib, pkgutil, nirgen
modules = pkgutil.walk_packages(nirgen.__path__, "nirgen.")
names = [module.name for module in modules if module.name != "nirgen.__main__"]
for name in names:
    importlib.import_module(name)
print(nirgen.__file__)
print(*names)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds the wheel, what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    install = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable, "--target"]
    subprocess.run([sys.executable, "-m", *install, folder, wheel], check=True)
    (own,) = metadata.distributions(name="nirgen", path=[str(folder)])
    for name in required_by(own, set()):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__", "bin"}
        for top in sorted(tops):
            if not (folder / top).exists():
                (folder / top).symlink_to(distribution.locate_file(top))
    return folder


def required_by(distribution: metadata.Distribution, seen: set[str]) -> set[str]:
    """The names of all installed distributions that one requires, without its extras."""
    for line in distribution.requires or []:
        requirement = Requirement(line)
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        required_by(metadata.distribution(requirement.name), seen)
    return seen


def run_in(site: Path, *arguments: str | Path) -> str:
    """Standard output of an interpreter that sees `site` and the standard library alone."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-S", "-s", *arguments]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_wheel_holds_the_package_its_data_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "nirgen/py.typed" in names
    assert "nirgen/models/embedded/compact.safetensors" in names
    assert "nirgen/models/embedded/compact.md" in names
    assert "nirgen/evaluate/page.html.j2" in names
    assert "nirgen/recipe/recipes/smoke.yaml" in names
    assert "nirgen/dataset/templates/README.md.j2" in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert [name for name in names if not name.startswith(("nirgen/", "nirgen-"))] == []


def test_the_wheel_is_small_enough_to_carry_its_model(wheel: Path) -> None:
    assert wheel.stat().st_size < 20_000_000


def test_the_command_answers_without_development_packages(site: Path) -> None:
    assert run_in(site, site / "bin" / "nirgen", "--help").startswith("Usage: nirgen")


def test_every_module_imports_without_development_packages(site: Path) -> None:
    assert not (site / "pytest").exists()
    home, names = run_in(site, "-c", IMPORT_EVERYTHING).splitlines()
    assert Path(home).is_relative_to(site)
    assert {"nirgen.cli.doctor", "nirgen.config"} < set(names.split())
