"""Options that several commands share, the parsing of their values, and help that reads defaults from the code."""

from __future__ import annotations

import ast
import re
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

import nirgen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def option(
    text: str, form: str = "", *, default: Any = None, of: str = "", panel: str | None = None, **settings: Any
) -> Any:
    """Declare an option.

    Args:
        text: Help.
        form: Flags other than the parameter's own name, then the placeholder of the value: `--out -o FILE`, `DIR`.
        default: Default; `...` if the option is required.
        of: Configuration's default to add to the help: `detect.config:BootstrapConfig.draw`, or the class or function
            alone if the field or parameter has the option's name.
        panel: Section of the help; "Options" by default.
        settings: Further arguments of `typer.Option`.
    """
    flags = [word for word in form.split() if word.startswith("-")]
    metavar = next((word for word in form.split() if word not in flags), None)
    shown = f"{text}  [default: {{{of}}}]" if of else text
    return typer.Option(default, *flags, metavar=metavar, help=shown, rich_help_panel=panel, **settings)


def flag(text: str, names: str = "", *, default: bool = False, panel: str | None = None, **settings: Any) -> Any:
    """Declare an option without a value, `--name/--no-name` unless named otherwise; see `option`."""
    return typer.Option(default, *names.split(), help=text, rich_help_panel=panel, **settings)


def within(panel: str, shared: Any) -> Any:
    """Return a shared option in a section of the help."""
    moved = copy(shared)
    moved.rich_help_panel = panel
    return moved


def argument(metavar: str, text: str, *, default: Any = ...) -> Any:
    """Declare an argument, required unless it has a default."""
    return typer.Argument(default, metavar=metavar, help=text)


DEVICE = option("Device: cpu, cuda, cuda:1, mps...  [default: best available]", "NAME")
AS_JSON = flag("Print the result as JSON.", "--json")
DRY_RUN = flag("Print what would be done; write nothing.", "--dry-run")
DAMAGED = option("Action at an image whose data are corrupt.", of="images.reading:Reading")
ALPHA = option("Use of a fourth channel that is tagged as opacity; blend: over black.", of="images.reading:Reading")
WHITE_LEVEL = option(
    "Sample of white in images of over 8 bits, such as 4095.  [default: as the file states, else the largest]",
    "N", min=1, max=65535,
)  # fmt: skip
WHITE_LEVELS = option(
    "Sample of white in images of over 8 bits: 4095, or rgb=4095,nir=1023.  [default: as the files state, else the "
    "largest]",
    "N",
)
VALUE_RANGE = option("Range of the values of an ONNX or TorchScript model that doesn't state it.", "--range LOW,HIGH")
CHANGES = option("Setting to change, by its dotted name; repeatable.", "--set NAME=VALUE")
SOURCES = option("Folder of an input's RGB images, if they have moved; repeatable.", "[NAME=]DIR")
ROOT = option("Folder of the images.  [default: the list's own]", "DIR")
DATABASE_URI = option("Address of FiftyOne's MongoDB.  [default: FiftyOne's own]", "URI")
DATASET_NAME = option("Name of the dataset in FiftyOne.  [default: from the folder's name]")

_SIZE = re.compile(r"([1-9]\d*)[xX]([1-9]\d*)")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) in pixels of a text such as `720x1280`."""
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"--size is HEIGHTxWIDTH in pixels, such as 720x1280, not {text!r}")
    return int(match[1]), int(match[2])


def parse_white_levels(text: str | None) -> tuple[int | None, int | None]:
    """Return the white levels of RGB and of NIR by a text such as `4095` or `nir=1023`.

    Example:
        >>> parse_white_levels("4095"), parse_white_levels("nir=1023"), parse_white_levels(None)
        ((4095, 4095), (None, 1023), (None, None))
    """
    levels: dict[str, int | None] = {"rgb": None, "nir": None}
    for part in text.split(",") if text is not None else ():
        name, equals, number = part.strip().rpartition("=")
        if (equals and name not in levels) or not number.isdecimal() or not 1 <= int(number) <= 65535:
            raise typer.BadParameter(
                f"--white-level is a number from 1 to 65535, or rgb=N,nir=N for both images, not {text!r}"
            )
        levels |= {name: int(number)} if equals else dict.fromkeys(levels, int(number))
    return levels["rgb"], levels["nir"]


def parse_named(text: str) -> tuple[str | None, Path]:
    """Split `NAME=PATH`; a text without a name, or with a slash or a colon before its `=`, is a path."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and name and not {"/", ":"} & {*name} else (None, Path(text))


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


def check_models(names: Sequence[str]) -> None:
    """Raise a ModelError for a name that no model has, before torch is imported."""
    from nirgen.models.catalog import find_model
    from nirgen.models.foreign import is_foreign

    for name in names:
        if not is_foreign(name):
            find_model(name)


def refuse(wrong: object, message: str) -> None:
    """Raise a usage error, exit code 2, if something is `wrong`."""
    if wrong:
        raise typer.BadParameter(message)


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


class ByTask(TyperGroup):
    """A group whose help lists its commands by their panels, in the order of their registration."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, with names in one column."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        shown: dict[str, Any] = {name: command for name, command in commands.items() if command and not command.hidden}
        width = max(map(len, shown))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in shown.items():
            text = command.get_short_help_str(formatter.width - 6 - width)
            sections.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append(
                (name.ljust(width), text)
            )
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


_DEFAULT = re.compile(r"\{([\w.]+):([\w.]+)\}")
_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", list[str]: "TEXT"}


class _Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        parameter: Any
        for parameter in self.params:
            name = parameter.name
            text = getattr(parameter, "help", None) or ""
            parameter.help = _DEFAULT.sub(lambda match, name=name: default_of(match[1], match[2], name), text)
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: ""  # noqa: ARG005
            elif parameter.metavar is None and hasattr(parameter, "type_descriptor"):
                parameter.metavar = _METAVARS.get(parameter.type_descriptor.annotation)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then the options by their panels; those without one come last."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        rest: list[tuple[str, str]] = []
        parameter: Any
        for parameter in self.get_params(ctx):
            panel = getattr(parameter, "rich_help_panel", None)
            title = "Arguments" if parameter.param_type_name == "argument" else panel
            record = parameter.get_help_record(ctx)
            if record is not None:
                (rest if title is None else sections.setdefault(title, [])).append(record)
        for title, records in {**sections, "Options": rest}.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def default_of(module: str, path: str, name: str = "") -> str:
    """Return the default of a configuration's field, read from the source: importing the module may take seconds.

    Args:
        module: Module below `nirgen`, such as `detect.config`.
        path: Class or function, such as `DetectConfig`, followed by the field or parameter unless that is `name`;
            or a constant.
        name: Field or parameter.

    Raises:
        LookupError: The source has no such default.

    Example:
        >>> default_of("detect.config", "DetectConfig.steps"), default_of("detect.config", "DetectConfig", "seed")
        ('2000', '0')
    """
    scope: Any = _source(module)
    parts = path.split(".")
    while parts and (found := [node for node in ast.walk(scope) if getattr(node, "name", None) == parts[0]]):
        scope = found[0]
        del parts[0]
    value = _defaults(scope).get(".".join(parts) or name)
    if isinstance(value, ast.Call):  # such as Field(2000, ge=1)
        value = next((word.value for word in value.keywords if word.arg == "default"), *value.args[:1])
    if isinstance(value, ast.Name):
        value = _defaults(_source(module)).get(value.id)
    if value is None:
        raise LookupError(f"nirgen.{module} has no default of {path} {name}")
    constant = ast.literal_eval(value)
    return ",".join(map(str, constant)) if isinstance(constant, (tuple, list)) else str(constant)


@cache
def _source(module: str) -> ast.Module:
    path = Path(nirgen.__file__).parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _defaults(scope: Any) -> dict[str, ast.expr | None]:
    """Return the expressions assigned to fields and constants of a class or module, or the defaults of parameters."""
    if isinstance(scope, ast.FunctionDef):
        plain, keyword = scope.args.args[::-1], scope.args.kwonlyargs
        pairs = [
            *zip(plain, scope.args.defaults[::-1], strict=False),
            *zip(keyword, scope.args.kw_defaults, strict=True),
        ]
        return {parameter.arg: value for parameter, value in pairs}
    nodes = [node for node in scope.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [node.target if isinstance(node, ast.AnnAssign) else node.targets[0] for node in nodes]
    return {ast.unparse(target): node.value for target, node in zip(targets, nodes, strict=True)}
