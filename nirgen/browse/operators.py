"""Operators of the App: reject, keep, needs fix, clear, change class, next worst, export, explain.

Each takes FiftyOne's execution context: the dataset, the view, the selection, the opened sample, the form's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.browse.fields import BOXES, INFO
from nirgen.browse.selection import (
    REASONS,
    Boxes,
    Images,
    change_class,
    classes,
    clear,
    decide,
    documents_beside,
    find_boxes,
    find_images,
    next_undecided,
    update_patches,
)
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nirgen.browse.selection import Verdict
    from nirgen.explain import Explanation


_MOST_EXPLAINED = 5
_SHOW_SAMPLES = "@nirgen/curation/show_samples"  # plugin/index.js
_NOTHING = "nothing is selected: select images in the grid or boxes of an opened image, or open one"


@dataclass(frozen=True, slots=True)
class Command:
    """An operator of the App.

    Attributes:
        name: As `fiftyone.yml` has it.
        label: As the App has it.
        about: What it does.
        run: Does it.
        form: What it asks first; None if nothing.
        shows: Whether `run` returns a Markdown `text` to be shown.
        icon: Of its button, by the name of a Material icon; None if it has no button.
    """

    name: str
    label: str
    about: str
    run: Callable[[Any], Mapping[str, Any] | None]
    form: Callable[[Any], Any] | None = None
    shows: bool = False
    icon: str | None = None


def pointed_at(context: Any) -> Images | Boxes:
    """What a decision is about: the selected boxes, or else the selected images, or else the image that is open.

    Args:
        context: Of the operator. In a view of patches, what is selected or open is a box.

    Raises:
        NirgenError: Nothing is selected or open, or it is gone.
    """
    from fiftyone.core.patches import PatchesView

    labels = [label for label in context.selected_labels if label["field"] == BOXES]
    samples = list(context.selected) or ([context.current_sample] if context.current_sample else [])
    if isinstance(context.view, PatchesView):
        patches = [label["sample_id"] for label in labels] or samples
        pairs = zip(*context.view.select(patches).values(["sample_id", f"{BOXES}.id"]), strict=True)
        labels = [{"sample_id": sample, "label_id": label} for sample, label in pairs]
    found = find_boxes(context.dataset, labels) if labels else find_images(context.dataset, samples)
    if not found.keys:
        raise NirgenError(_NOTHING)
    return found


def remembered_author() -> str:
    """The author of the last decision that an operator wrote to this database."""
    return str(_store().get("author") or "")


def _store() -> Any:
    from fiftyone.operators.store import ExecutionStore

    return ExecutionStore.create("nirgen")


def _count(targets: Images | Boxes) -> str:
    """What a decision is about, in words."""
    if isinstance(targets, Images):
        return targets.keys[0] if len(targets.keys) == 1 else f"{len(targets.keys)} images"
    images = len(set(targets.image_keys))
    where = targets.image_keys[0] if images == 1 else f"{images} images"
    return f"{len(targets.keys)} {'box' if len(targets.keys) == 1 else 'boxes'} of {where}"


def _ask_why(context: Any) -> Any:
    """A form with what the decision is about, and fields for reason and author."""
    from fiftyone.operators import types

    form = types.Object()
    try:
        form.view("about", types.Notice(label=_count(pointed_at(context))))
    except NirgenError as error:
        form.view("about", types.Warning(label=_sentence(error))).invalid = True
        return form
    reasons = types.AutocompleteView(allow_user_input=True)
    for reason in REASONS:
        reasons.add_choice(reason, label=reason)
    form.str("reason", label="Reason", description="Why; one of these, or your own words", view=reasons)
    form.str("author", label="Author", description="Who decides", default=remembered_author())
    return form


def _said(context: Any) -> dict[str, str]:
    """Reason and author from the form; the author is remembered."""
    said = {name: str(context.params.get(name) or "").strip() for name in ("reason", "author")}
    _store().set("author", said["author"])
    return said


def _finish(context: Any, targets: Images | Boxes, message: str) -> None:
    """Let the App show what was written, and say so; nothing is selected any more."""
    from fiftyone.core.patches import PatchesView

    context.ops.clear_selected_labels()
    context.ops.clear_selected_samples()
    if isinstance(context.view, PatchesView) and isinstance(targets, Boxes):
        update_patches(context.view, context.dataset, targets)
    elif context.current_sample:
        context.trigger(_SHOW_SAMPLES, {"samples": documents_beside(context.dataset, context.current_sample)})
    context.ops.reload_samples()
    context.ops.notify(message, variant="success")


def _deciding(verdict: Verdict, done: str) -> Callable[[Any], None]:
    def run(context: Any) -> None:
        targets, said = pointed_at(context), _said(context)
        decide(context.dataset, targets, verdict, **said)
        _finish(context, targets, f"{done} {_count(targets)}" + (f": {said['reason']}" if said["reason"] else ""))

    return run


def _clear(context: Any) -> None:
    targets = pointed_at(context)
    keys = {key for key in targets.keys if key is not None} if isinstance(targets, Boxes) else set()
    clear(context.dataset, targets, _categories(_folder(context), keys) if keys else {})
    _finish(context, targets, f"Undecided again: {_count(targets)}")


def _categories(folder: Path, keys: set[str]) -> dict[str, str]:
    """The classes that boxes have in the dataset, by their keys."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_table

    from nirgen.dataset.folder import PROVENANCE

    path = folder / PROVENANCE
    try:
        table = read_table(path, columns=["key", "category"], filters=[("key", "in", keys)])
    except (OSError, ArrowInvalid) as error:
        raise NirgenError(f"{path} can't be read ({error}), and it says what classes the boxes had") from error
    return dict(zip(table["key"].to_pylist(), table["category"].to_pylist(), strict=True))


def _ask_class(context: Any) -> Any:
    from fiftyone.operators import types

    form = _ask_why(context)
    choices = types.Dropdown()
    for name in classes(context.dataset):
        choices.add_choice(name, label=name)
    form.enum("category", choices.values(), label="Class", required=True, view=choices)
    form.properties = {name: form.properties[name] for name in sorted(form.properties, key=_before_the_reason)}
    return form


def _before_the_reason(name: str) -> bool:
    return name in {"reason", "author"}


def _change_class(context: Any) -> None:
    targets = pointed_at(context)
    if isinstance(targets, Images):
        raise NirgenError("no box is selected: open an image and click on the boxes whose class is to change")
    category = str(context.params.get("category") or "")
    change_class(context.dataset, targets, category, **_said(context))
    _finish(context, targets, f"Now {category}: {_count(targets)}")


def _next_worst(context: Any) -> None:
    from fiftyone.core.patches import PatchesView

    view = context.dataset.view() if isinstance(context.view, PatchesView) else context.view
    found = next_undecided(context.dataset, view, context.current_sample)
    if found is None:
        raise NirgenError("of what is shown here, nothing else is undecided")
    sample, group = found
    context.ops.open_sample(id=sample, group_id=group)


def _ask_file(context: Any) -> Any:
    from fiftyone.operators import types

    form = types.Object()
    folder = _folder(context)
    description = "On the machine that runs FiftyOne; a file of decisions that is there is added to"
    form.str("path", label="File", description=description, default=str(_decisions_path(folder)))
    form.str("author", label="Author", description="Of decisions that name none", default=remembered_author())
    return form


def _decisions_path(folder: Path) -> Path:
    return folder.parent / f"{folder.name}-curation.jsonl"


def _export(context: Any) -> None:
    from nirgen.browse.decisions import export_decisions

    folder, author = _folder(context), str(context.params.get("author") or "").strip()
    given = str(context.params.get("path") or "").strip()
    path = folder.parent / Path(given).expanduser() if given else _decisions_path(folder)
    done = export_decisions(folder, path, name=context.dataset.name, author=author)
    message = f"{path}: {len(done.decisions)} decisions, {done.new} of them made in FiftyOne since"
    context.ops.notify(message, variant="success")


def _why(context: Any) -> dict[str, str]:
    from nirgen.explain import explain

    targets, folder = pointed_at(context), _folder(context)
    keys = [key for key in targets.keys if key is not None]
    if not keys:
        raise NirgenError("the box isn't in the dataset yet: it was drawn here")
    parts = [as_markdown(explain(folder, key)) for key in keys[:_MOST_EXPLAINED]]
    if len(keys) > _MOST_EXPLAINED:
        parts.append(f"and {len(keys) - _MOST_EXPLAINED} more")
    return {"text": "\n\n---\n\n".join(parts)}


def _folder(context: Any) -> Path:
    """The folder that the FiftyOne dataset was loaded from."""
    loaded = context.dataset.info.get(INFO)
    if not loaded:
        raise NirgenError(f"{context.dataset.name} wasn't loaded by 'nirgen browse'")
    return Path(loaded["folder"])


def _sentence(error: NirgenError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


COMMANDS = (
    Command(
        "reject",
        "Reject",
        "Take the selected images, or boxes, out of the dataset",
        _deciding("reject", "Rejected"),
        form=_ask_why,
        icon="block",
    ),
    Command(
        "keep",
        "Keep",
        "Say that the selected images, or boxes, are good",
        _deciding("keep", "Kept"),
        form=_ask_why,
        icon="check",
    ),
    Command(
        "needs_fix",
        "Needs fix",
        "Say that the selected images, or boxes, need repair",
        _deciding("flag", "Marked for repair"),
        form=_ask_why,
        icon="build",
    ),
    Command("clear_decision", "Clear decision", "Take back what was decided of the selected images or boxes", _clear),
    Command("change_class", "Change class", "Give the selected boxes another class", _change_class, form=_ask_class),
    Command(
        "next_worst",
        "Next worst",
        "Open the image of most trouble that nothing was decided of",
        _next_worst,
        icon="skip_next",
    ),
    Command(
        "export_decisions",
        "Export decisions",
        "Write the decisions to a file, as 'nirgen curation export' does",
        _export,
        form=_ask_file,
    ),
    Command(
        "why",
        "Why is this box here",
        "Where the selected box, or image, comes from, as 'nirgen explain' tells it",
        _why,
        shows=True,
    ),
)
"""The operators, as the App lists them."""


def as_markdown(found: Explanation) -> str:
    """What is known of an image or a box: a paragraph for each name and what goes with it."""
    return "\n\n".join("\\\n".join(paragraph) for paragraph in _paragraphs(found))


def escaped(text: str) -> str:
    r"""Text in which Markdown finds nothing to set.

    Example:
        >>> print(escaped("a_b/*.png"))
        a\_b/\*.png
    """
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|~" else sign for sign in text)


def _paragraphs(found: Explanation) -> Iterator[list[str]]:
    from nirgen.explain import lines

    paragraph: list[str] = []
    for name, text in lines(found):
        if name and paragraph:
            yield paragraph
            paragraph = []
        paragraph.append(f"**{name}** {escaped(text)}" if name else escaped(text))
    yield paragraph
