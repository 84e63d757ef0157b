"""Label Studio exports.

`export` finds the pictures, `opinions` reads what people said, `verdict` decides what stands.
"""

from nhan.samples.doors.label_studio.export import LabelStudio

__all__ = ["LabelStudio"]
