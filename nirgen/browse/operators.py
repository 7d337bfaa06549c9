"""Operators of the App: reject, keep, needs fix, clear, change class, next worst, export, explain; their keys.

Each takes FiftyOne's execution context: dataset, view, selection, opened sample and form values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import BOXES, GROUP, INFO, NIR, REAL_NIR, SHOWN
from nirgen.browse.selection import (
    Boxes,
    Images,
    change_class,
    classes,
    clear,
    decide,
    default_author,
    documents_beside,
    find_boxes,
    find_images,
    flat,
    next_undecided,
    update_patches,
)
from nirgen.errors import NirgenError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nirgen.browse.selection import Verdict
    from nirgen.explain import Explanation

_NO_BOX = "no box is selected: open an image and click on a box"
_REASONS = ("vanished object", "smeared", "wrong class", "box off", "unreal texture", "artefacts")


PLUGIN = "@nirgen/curation"  # as in fiftyone.yml
_SHOWN_AT_ONCE = 500  # samples whose new state is sent to the App; it keeps as many tiles


@dataclass(frozen=True, slots=True)
class Command:
    """An operator of the App."""

    name: str  # as in fiftyone.yml
    label: str  # shown in the App
    about: str  # description
    run: Callable[[Any], Mapping[str, Any] | None]
    form: Callable[[Any], Any] | None = None  # builds the form to fill in first
    shows: bool = False  # `run` returns a Markdown `text` to show
    icon: str | None = None  # Material icon of its button; None for no button
    key: str | None = None  # pressed alone runs it, and with Shift opens its form
    asks: bool = False  # key and button open the form, as there is no default
    of_boxes: bool = False  # its button is beside an opened image only, where boxes can be selected

    @property
    def operator(self) -> str:
        """Return the name by which FiftyOne runs it."""
        return f"{PLUGIN}/{self.name}"


def pointed_at(context: Any) -> Images | Boxes:
    """Return the selected boxes, else the selected images, else the opened image; in a view of patches, boxes."""
    from fiftyone.core.patches import PatchesView

    labels = [label for label in context.selected_labels if label["field"] == BOXES]
    samples = list(context.selected) or ([context.current_sample] if context.current_sample else [])
    if isinstance(context.view, PatchesView):
        patches = [label["sample_id"] for label in labels] or samples
        pairs = zip(*context.view.select(patches).values(["sample_id", f"{BOXES}.id"]), strict=True)
        labels = [{"sample_id": sample, "label_id": label} for sample, label in pairs]
    found = find_boxes(context.dataset, labels) if labels else find_images(context.dataset, samples)
    if not found.keys:
        raise NirgenError("nothing is selected: select images in the grid or boxes of an opened image, or open one")
    return found


def _author(given: str | None = None) -> str:
    """Return the author of the last form, after storing the given one; without any, the user."""
    from fiftyone.operators.store import ExecutionStore

    store = ExecutionStore.create("nirgen")
    if given is not None:
        store.set("author", given)
    return str(store.get("author") or "") or _user()


@cache
def _user() -> str:
    """Return the user's name; asking git takes longer than a decision."""
    return default_author()


def _count(targets: Images | Boxes) -> str:
    if isinstance(targets, Images):
        return targets.keys[0] if len(targets.keys) == 1 else f"{len(targets.keys)} images"
    images = len(set(targets.image_keys))
    where = targets.image_keys[0] if images == 1 else f"{images} images"
    return f"{len(targets.keys)} {'box' if len(targets.keys) == 1 else 'boxes'} of {where}"


def _ask_why(context: Any, *, of_boxes: bool = False) -> Any:
    """Build a form that names the selection and asks for reason and author, or says what to select."""
    from fiftyone.operators import types

    form = types.Object()
    try:
        targets = pointed_at(context)
        if of_boxes and isinstance(targets, Images):
            raise NirgenError(_NO_BOX)
        form.view("about", types.Notice(label=_count(targets)))
    except NirgenError as error:
        text = str(error)
        form.view("about", types.Warning(label=text[:1].upper() + text[1:])).invalid = True
        return form
    reasons = types.AutocompleteView(allow_user_input=True)
    for reason in _REASONS:
        reasons.add_choice(reason, label=reason)
    form.str("reason", label="Reason", description="Optional: one of these, or your own words", view=reasons)
    form.str("author", label="Author", description="Who decides", default=_author())
    return form


def _answers(context: Any) -> dict[str, str]:
    """Return reason and author from the form, and store the author for later; without a form, the last author."""
    author = context.params.get("author")
    given = None if author is None else str(author).strip()
    return {"reason": str(context.params.get("reason") or "").strip(), "author": _author(given)}


def _finish(context: Any, targets: Images | Boxes, message: str) -> None:
    """Show the new state of the samples, clear the selection, refresh the App and notify the user."""
    from fiftyone.core.patches import PatchesView

    if isinstance(context.view, PatchesView) and isinstance(targets, Boxes):
        update_patches(context.view, context.dataset, targets)
    else:
        changed = {sample for sample, _ in targets.labels} if isinstance(targets, Boxes) else {*targets.samples}
        samples = documents_beside(context.dataset, sorted(changed)[:_SHOWN_AT_ONCE])
        context.trigger(f"{PLUGIN}/show_samples", {"samples": samples})  # plugin/index.js
    context.ops.clear_selected_labels()
    context.ops.clear_selected_samples()
    context.ops.reload_samples()
    context.ops.notify(message, variant="success")


def _deciding(verdict: Verdict, done: str) -> Callable[[Any], None]:
    def run(context: Any) -> None:
        targets, answers = pointed_at(context), _answers(context)
        decide(context.dataset, targets, verdict, **answers)
        why = f": {answers['reason']}" if answers["reason"] else ""
        _finish(context, targets, f"{done} {_count(targets)}{why}")

    return run


def _delete_box(context: Any) -> None:
    if isinstance(pointed_at(context), Images):
        raise NirgenError(_NO_BOX)
    _deciding("reject", "Deleted")(context)


def _clear(context: Any) -> None:
    targets = pointed_at(context)
    keys = {key for key in targets.keys if key is not None} if isinstance(targets, Boxes) else set()
    clear(context.dataset, targets, _categories(_folder(context), keys) if keys else {})
    _finish(context, targets, f"Undecided again: {_count(targets)}")


def _categories(folder: Path, keys: set[str]) -> dict[str, str]:
    """Return the classes of boxes in the dataset, by key."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    from nirgen.dataset.folder import PROVENANCE
    from nirgen.files import check_regular

    path = folder / PROVENANCE
    try:
        check_regular(path)
        table = read_table(path, columns=["key", "category"], filters=[("key", "in", keys)])
    except (OSError, ArrowException) as error:
        raise NirgenError(f"{path}: can't be read ({one_line(error)}), so the original classes are unknown") from error
    return dict(zip(table["key"].to_pylist(), table["category"].to_pylist(), strict=True))


def _ask_class(context: Any) -> Any:
    from fiftyone.operators import types

    form = _ask_why(context, of_boxes=True)
    if "reason" not in form.properties:
        return form
    choices, names = types.Dropdown(), classes(context.dataset)
    for name in names:
        choices.add_choice(name, label=name)
    numbers = ", ".join(f"{number} {name}" for number, name in enumerate(names[:9], start=1))
    hint = f"Without this form, press its number: {numbers}"
    form.enum("category", choices.values(), label="Class", description=hint, required=True, view=choices)
    form.properties = dict(sorted(form.properties.items(), key=lambda each: each[0] in {"reason", "author"}))
    return form


def _change_class(context: Any) -> None:
    targets = pointed_at(context)
    if isinstance(targets, Images):
        raise NirgenError(_NO_BOX)
    category = str(context.params.get("category") or "")
    change_class(context.dataset, targets, category, **_answers(context))
    _finish(context, targets, f"Now {category}: {_count(targets)}")


def _next_worst(context: Any) -> None:
    from fiftyone.core.patches import PatchesView

    view = context.dataset.view() if isinstance(context.view, PatchesView) else context.view
    found = next_undecided(context.dataset, view, context.current_sample)
    if found is None:
        raise NirgenError("all other images shown here have decisions")
    context.ops.open_sample(id=found[0], group_id=found[1])


def _ask_file(context: Any) -> Any:
    from fiftyone.operators import types

    form = types.Object()
    default = f"{_folder(context)}-curation.jsonl"
    description = "On the machine that runs FiftyOne; decisions are added to an existing file"
    form.str("path", label="File", description=description, default=default)
    form.str("author", label="Author", description="Author of decisions without one", default=_author())
    return form


def _export(context: Any) -> None:
    from nirgen.browse.decisions import export_decisions

    folder, author = _folder(context), str(context.params.get("author") or "").strip()
    given = str(context.params.get("path") or "").strip() or f"{folder.name}-curation.jsonl"
    path = folder.parent / Path(given).expanduser()
    done = export_decisions(folder, path, name=context.dataset.name, author=author)
    context.ops.notify(f"{path}: {len(done.decisions)} decisions, {done.new} of them new", variant="success")


def _why(context: Any) -> dict[str, str]:
    from nirgen.explain import explain

    targets, folder = pointed_at(context), _folder(context)
    keys = [key for key in targets.keys if key is not None]
    if not keys:
        raise NirgenError("the box was drawn here and isn't in the dataset yet")
    parts = [_as_markdown(explain(folder, key)) for key in keys[:5]]
    if len(keys) > 5:
        parts.append(f"and {len(keys) - 5} more")
    return {"text": "\n\n---\n\n".join(parts)}


def _folder(context: Any) -> Path:
    loaded = context.dataset.info.get(INFO)
    if not loaded:
        raise NirgenError(f"{context.dataset.name} wasn't loaded by 'nirgen browse'")
    return Path(loaded["folder"])


COMMANDS = (
    Command("reject", "Reject", "Remove the selected images, or boxes, from the dataset",
            _deciding("reject", "Rejected"), _ask_why, icon="block", key="d"),
    Command("keep", "Keep", "Confirm that the selected images, or boxes, are good",
            _deciding("keep", "Kept"), _ask_why, icon="check", key="a"),
    Command("needs_fix", "Needs fix", "Mark the selected images, or boxes, for repair",
            _deciding("flag", "Marked for repair"), _ask_why, icon="build", key="e"),
    Command("clear_decision", "Clear decision", "Take back the decisions on the selected images or boxes", _clear,
            key="u"),
    Command("delete_box", "Delete box", "Remove the selected boxes from the dataset", _delete_box, icon="delete",
            of_boxes=True),
    Command("change_class", "Change class", "Give the selected boxes another class", _change_class, _ask_class,
            icon="category", key="l", asks=True, of_boxes=True),
    Command("next_worst", "Next worst", "Open the image with the highest issue score that has no decision",
            _next_worst, icon="skip_next", key="w"),
    Command("export_decisions", "Export decisions", "Write the decisions to a file, as 'nirgen curation export' does",
            _export, _ask_file),
    Command("why", "Why is this box here", "Trace the selected box, or image, to its source, as 'nirgen explain' does",
            _why, shows=True),
)  # fmt: skip
"""The operators, as the App lists them."""


def opened(context: Any) -> None:
    """Give the App keys and shown fields, and tell the user what is shown; no keys for other datasets."""
    ours = context.dataset is not None and INFO in (context.dataset.info or {})
    settings = {"keys": _keys(context.dataset), "fields": list(SHOWN)} if ours else {"keys": {}}
    context.trigger(f"{PLUGIN}/begin", settings)  # plugin/index.js
    if ours:
        context.ops.notify(_greeting(context.dataset), variant="info")


def _keys(dataset: Any) -> dict[str, dict[str, Any]]:
    """Return what each key does: the operator, its parameters, and if it opens a form alone or with Shift."""
    keys: dict[str, dict[str, Any]] = {
        each.key: {"operator": each.operator, "params": {}, "asks": each.asks, "form": each.form is not None}
        for each in COMMANDS
        if each.key
    }
    for number, name in enumerate(classes(dataset)[:9], start=1):
        keys[str(number)] = {"operator": f"{PLUGIN}/change_class", "params": {"category": name}}
    return keys


def _greeting(dataset: Any) -> str:
    counts = {name: flat(dataset).match({f"{GROUP}.name": name}).count() for name in dataset.group_slices}
    shown = counts.get(NIR, 0)
    parts = [f"{shown} generated images"] if shown else []
    if real := counts.get(REAL_NIR, 0):
        parts.append(f"{real} real images" + (f", in the slice {REAL_NIR} and the view 'real'" if shown else ""))
    keys = ", ".join(f"{each.key.upper()} {each.label.lower()}" for each in COMMANDS if each.key)
    return f"{'; '.join(parts)}. Keys: {keys}; with Shift they ask for a reason"


def _as_markdown(found: Explanation) -> str:
    """Return one paragraph for each name with its lines."""
    from nirgen.explain import lines

    paragraphs: list[list[str]] = []
    for name, text in lines(found):
        escaped = re.sub(r"[\\`*_\[\]<>#|~]", r"\\\g<0>", text)
        if name or not paragraphs:
            paragraphs.append([f"**{name}** {escaped}" if name else escaped])
        else:
            paragraphs[-1].append(escaped)
    return "\n\n".join("\\\n".join(paragraph) for paragraph in paragraphs)
