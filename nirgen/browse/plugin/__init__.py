"""nirgen's plugin for FiftyOne: its commands as operators of the App.

FiftyOne's server runs this file by its path; `nirgen.browse.app.install` links it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.browse.operators import Command


def register(plugin: Any) -> None:
    """Register the operators with FiftyOne's plugin context."""
    from nirgen.browse.operators import COMMANDS, opened

    for command in COMMANDS:
        plugin.register(operator_of(command))
    plugin.register(opening_operator(opened))


def operator_of(command: Command) -> type[Any]:
    """Build the operator class of a command.

    A NirgenError becomes a notification. Without a form or an output the class lacks `resolve_input` or
    `resolve_output`, and the App opens no dialog.
    """
    from fiftyone import operators as foo
    from fiftyone.operators import types

    from nirgen.browse.fields import INFO
    from nirgen.errors import NirgenError

    def execute(_: Any, ctx: Any) -> Any:
        try:
            return command.run(ctx)
        except NirgenError as error:
            ctx.ops.notify(str(error), variant="error")
            return None

    def resolve_placement(_: Any, ctx: Any) -> Any:
        if command.icon is None or ctx.dataset is None or INFO not in ctx.dataset.info:
            return None
        if command.of_boxes and not ctx.current_sample:
            return None
        label = f"{command.label} ({command.key.upper()})" if command.key else command.label
        place = (
            types.Places.SAMPLES_VIEWER_ACTIONS if ctx.current_sample else types.Places.SAMPLES_GRID_SECONDARY_ACTIONS
        )
        return types.Placement(place, types.Button(label=label, icon=command.icon, prompt=command.asks))

    config = foo.OperatorConfig(
        name=command.name, label=command.label, description=command.about, icon=command.icon, view_target=False
    )
    body: dict[str, Any] = {
        "config": property(lambda _: config),
        "execute": execute,
        "resolve_placement": resolve_placement,
    }
    if form := command.form:
        prompt = types.PromptView(label=command.label, submit_button_label=command.label)
        body["resolve_input"] = lambda _, ctx: types.Property(form(ctx), view=prompt)
    if command.shows:
        shown = types.Object()
        shown.str("text", view=types.MarkdownView())
        body["resolve_output"] = lambda *_: types.Property(shown, view=types.View(label=command.label))
    return type(command.name, (foo.Operator,), body)


def opening_operator(run: Callable[[Any], None]) -> type[Any]:
    """Build the operator that the App runs whenever it opens a dataset."""
    from fiftyone import operators as foo

    config = foo.OperatorConfig(name="opened", label="Dataset opened", unlisted=True, on_dataset_open=True)
    body = {"config": property(lambda _: config), "execute": lambda _, ctx: run(ctx)}
    return type("opened", (foo.Operator,), body)
