"""Labelling interfaces: the one we make for a task, and where a given one keeps its labels."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from nhan.errors import BadSource
from nhan.samples.doors.label_studio.opinions import is_quality
from nhan.samples.doors.label_studio.verdict import Field
from nhan.tasks import get_task

# What `nhan.samples.doors.label_studio.verdict` takes for "this picture is no good".
UNREADABLE = "unreadable"

# Above so many classes a list of buttons becomes a box to search in.
_MAX_BUTTONS = 30
# An interface is written by people; a long one is a page, not megabytes.
_MAX_CONFIG = 1_000_000

# Without its tools, which would lie over the end of a line. The hotkey is none that a Vietnamese
# input method uses; without one Label Studio would take the digit 1.
_TEXT = """<View>
  <Image name="image" value="$image" zoom="true" zoomControl="false" rotateControl="false"
         selectionControl="false"/>
  <TextArea name="text" toName="image" editable="true" maxSubmissions="1" rows="2"
            required="false" perRegion="false" placeholder="Chữ trong ảnh · the text as it stands"/>
  <Choices name="quality" toName="image" choice="single" showInline="true" required="false">
    <Choice value="unreadable" hotkey="alt+u"/>
  </Choices>
</View>"""


@dataclass(frozen=True)
class Fields:
    """Where an interface keeps its labels.

    Attributes:
        name: of the control that holds the label.
        to_name: of the picture it belongs to.
        is_choice: the label is chosen, not written.
        choices: what may be chosen; empty for written labels.
        picture: key of a task's `data` that holds the picture's address.
    """

    name: str
    to_name: str
    is_choice: bool
    choices: tuple[str, ...]
    picture: str

    @classmethod
    def of(cls, config: str) -> Fields:
        """Find them in an interface.

        Raises:
            BadSource: it is no XML, shows no picture, or has no one control for its label.
        """
        root = _parse(config)
        pictures = {one.get("name", ""): one.get("value", "") for one in root.iter("Image")}
        if len(pictures) != 1:
            raise BadSource(
                f"the labelling interface shows {len(pictures)} pictures; one is needed",
                hint='<Image name="image" value="$image"/>',
            )
        ((to_name, value),) = pictures.items()
        controls = [one for one in root.iter("TextArea") if _is_whole(one)]
        is_choice = not controls
        if is_choice:
            controls = [one for one in root.iter("Choices") if _is_label(one)]
        if len(controls) != 1:
            names = ", ".join(one.get("name", "") for one in controls) or "none"
            raise BadSource(
                f"the labelling interface has no one field for the label (fields: {names})",
                hint="one TextArea for a text, or one Choices for a class",
            )
        control = controls[0]
        return cls(
            control.get("name", ""),
            control.get("toName", to_name),
            is_choice,
            tuple(_choices(control)) if is_choice else (),
            value.lstrip("$"),
        )

    @property
    def where(self) -> Field:
        """The same for whoever reads annotations."""
        return Field(self.name, is_choice=self.is_choice)

    def holds(self, value: str) -> bool:
        """Whether a label of this value can stand in the interface."""
        return not self.is_choice or value in self.choices

    def result(self, value: str) -> list[dict[str, Any]]:
        """A label as Label Studio writes it in predictions and annotations."""
        kind, key = ("choices", "choices") if self.is_choice else ("textarea", "text")
        return [
            {
                "from_name": self.name,
                "to_name": self.to_name,
                "type": kind,
                "value": {key: [value]},
            }
        ]


def is_chosen(task: str) -> bool:
    """Whether a task's labels are chosen from a list rather than written."""
    return get_task(task).choices


def make_config(task: str, classes: Sequence[str]) -> str:
    """The interface for a task.

    Args:
        task: whose labels.
        classes: what may be chosen, where labels are.

    Raises:
        BadSource: labels are chosen and there is nothing to choose from.
    """
    if not is_chosen(task):
        return _TEXT
    if not classes:
        raise BadSource(
            f"nothing to choose from: no sample of {task} has a label yet, and no model answers",
            hint="name the classes: nhan labelstudio setup --class daisy --class rose",
        )
    layout = "select" if len(classes) > _MAX_BUTTONS else "inline"
    lines = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return f"""<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true" rotateControl="true"/>
  <Choices name="label" toName="image" choice="single" layout="{layout}" required="false">
{lines}
  </Choices>
  <Choices name="quality" toName="image" choice="single" showInline="true" required="false">
    <Choice value="{UNREADABLE}" hotkey="alt+u"/>
  </Choices>
</View>"""


def _parse(config: str) -> ET.Element:
    if len(config) > _MAX_CONFIG or "<!" in config:  # no doctype, no entities that multiply
        raise BadSource(
            "the labelling interface is too long, or declares entities",
            hint="nhan labelstudio setup makes one that fits the task",
        )
    try:
        return ET.fromstring(config)  # noqa: S314  neither doctype nor entities reach it
    except (ET.ParseError, UnicodeEncodeError) as error:  # half of a surrogate pair is no text
        raise BadSource(
            f"the labelling interface is no XML: {error}",
            hint="nhan labelstudio setup makes one that fits the task",
        ) from error


def _is_whole(control: ET.Element) -> bool:
    """It describes the picture, not a region of it."""
    return control.get("perRegion", "false").lower() != "true"


def _is_label(control: ET.Element) -> bool:
    """Its choices are more than a verdict on the picture's quality."""
    return _is_whole(control) and not all(map(is_quality, _choices(control)))


def _choices(control: ET.Element) -> list[str]:
    return [one.get("alias", "") or one.get("value", "") for one in control.iter("Choice")]
