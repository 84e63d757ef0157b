"""Nhãn: from labelled pictures to a served model that its users make better."""

__version__ = "0.1.0"
