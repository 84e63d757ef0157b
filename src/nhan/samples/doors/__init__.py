"""The layouts that can be imported; a further one is one module here and one row in `DOORS`."""

from nhan.samples.doors.base import Door, Opened, Reading, find_door

__all__ = ["Door", "Opened", "Reading", "find_door"]
