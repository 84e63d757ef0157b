"""The catalogue: samples, every label ever given, and an append-only event log."""

from nhan.catalog.database import Catalog, open_catalog
from nhan.catalog.schema import TRAINABLE, State

__all__ = ["TRAINABLE", "Catalog", "State", "open_catalog"]
