"""Options that several commands share, the parsing of their values, and help that reads defaults from the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand

import nirgen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Function = TypeVar("_Function", bound="Callable[..., Any]")

Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="Device: cpu, cuda, cuda:1, mps...  [default: best available]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done; write nothing.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Setting to change, by its dotted name; repeatable."),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME=]DIR", help="Folder of an input's RGB images, if they have moved; repeatable."),
]
Root = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the images.  [default: the list's own]")]
DatabaseUri = Annotated[
    str | None, typer.Option(metavar="URI", help="Address of FiftyOne's MongoDB.  [default: FiftyOne's own]")
]
DatasetName = Annotated[
    str | None, typer.Option(help="Name of the dataset in FiftyOne.  [default: from the folder's name]")
]
DetectModel = Annotated[
    str | None,
    typer.Option(
        metavar="ID|DIR|fresh",
        help="Start: hub id, transformers folder, run folder, or fresh weights.  "
        "[default: {detect.config:DetectConfig.model}]",
    ),
]
DetectSettings = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML file of training settings.")
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Optimizer steps.  [default: {detect.config:DetectConfig.steps}]"),
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Images per step.  [default: {detect.config:DetectConfig.batch}]")
]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate.  [default: {detect.config:DetectConfig.learning_rate}]")
]
TrainSize = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        help="Side that images are resized to, a multiple of 32.  [default: {detect.config:DetectConfig.size}]",
    ),
]
JudgedSplit = Annotated[
    Literal["test", "val"] | None,
    typer.Option(help="Split to evaluate on.  [default: {detect.config:CompareConfig.split}]"),
]
Bootstrap = Annotated[
    Literal["images", "sequences"] | None,
    typer.Option(help="Unit that the bootstrap draws.  [default: {detect.config:BootstrapConfig.draw}]"),
]
Resamples = Annotated[
    int | None,
    typer.Option(
        min=0, help="Bootstrap samples; 0: no intervals.  [default: {detect.config:BootstrapConfig.resamples}]"
    ),
]

_SIZE = re.compile(r"([1-9]\d*)[xX]([1-9]\d*)")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) in pixels of a text such as `720x1280`."""
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"--size is HEIGHTxWIDTH in pixels, such as 720x1280, not {text!r}")
    return int(match[1]), int(match[2])


def parse_named(text: str) -> tuple[str | None, Path]:
    """Split `NAME=PATH`; a text without a name, or with a slash before its `=`, is a path."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and name and "/" not in name else (None, Path(text))


def parse_all_named(texts: Sequence[str] | None, flag: str) -> dict[str, Path]:
    """Return the paths of `NAME=PATH` texts by name; each name is needed, once."""
    found: dict[str, Path] = {}
    for text in texts or ():
        name, path = parse_named(text)
        if name is None or text.endswith("="):
            raise typer.BadParameter(f"{flag} {text}: give NAME=PATH, such as bdd100k=photos")
        if name in found:
            raise typer.BadParameter(f"{flag} names {name!r} twice")
        found[name] = path
    return found


def given(**options: Any) -> dict[str, Any]:
    """Return the options that the user gave; the configuration has the defaults of the others."""
    return {name: value for name, value in options.items() if value is not None}


class Group(typer.Typer):
    """Commands with plain help: importing rich would take longer than all else that `--help` does."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {"no_args_is_help": True, "add_completion": False, "rich_markup_mode": None}
        super().__init__(**plain | settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """Add a command whose help shows the defaults that `{module:Class.field}` names."""
        return super().command(name, **{"cls": _Command} | settings)


_DEFAULT = re.compile(r"\{([\w.]+):([\w.]+)\}")
_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", list[str]: "TEXT"}


class _Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        parameter: Any
        for parameter in self.params:
            text = getattr(parameter, "help", None) or ""
            parameter.help = _DEFAULT.sub(lambda match: default_of(*match.groups()), text)
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: ""  # noqa: ARG005
            elif parameter.metavar is None and hasattr(parameter, "type_descriptor"):
                parameter.metavar = _METAVARS.get(parameter.type_descriptor.annotation)
        super().format_help(ctx, formatter)


def default_of(module: str, name: str) -> str:
    """Return the default of a configuration's field, read from the source: importing the module may take seconds.

    Args:
        module: Module below `nirgen`, such as `detect.config`.
        name: Field or parameter, such as `DetectConfig.steps`, or constant.

    Raises:
        LookupError: The source has no such default.

    Example:
        >>> default_of("detect.config", "DetectConfig.steps")
        '2000'
    """
    owner, _, field = name.rpartition(".")
    scope = _source(module)
    for part in filter(None, owner.split(".")):
        found = [node for node in ast.walk(scope) if getattr(node, "name", None) == part]
        if not found:
            raise LookupError(f"nirgen.{module} has no {part}")
        scope = found[0]
    value = _constant(_assigned(scope, field), module)
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


@cache
def _source(module: str) -> ast.AST:
    path = Path(nirgen.__file__).parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _assigned(scope: ast.AST, name: str) -> ast.expr:
    """Return the expression that is assigned to a name, or the default of a parameter."""
    if isinstance(scope, ast.FunctionDef):
        plain, keyword = scope.args.args, scope.args.kwonlyargs
        defaults = [*zip(reversed(plain), reversed(scope.args.defaults), strict=False)]
        defaults += [(one, value) for one, value in zip(keyword, scope.args.kw_defaults, strict=True) if value]
        return next(value for one, value in defaults if one.arg == name)
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return node.value or ast.Constant(None)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return node.value
    raise LookupError(f"no default of {name}")


def _constant(value: ast.expr, module: str) -> Any:
    if isinstance(value, ast.Call):  # such as Field(2000, ge=1)
        value = next((word.value for word in value.keywords if word.arg == "default"), *value.args[:1])
    if isinstance(value, ast.Name):
        value = _assigned(_source(module), value.id)
    return ast.literal_eval(value)
