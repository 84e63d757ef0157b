"""Vietnamese line pictures from nothing but fonts and texts."""

from nhan.synth.folder import FolderReport, write_folder
from nhan.synth.recipe import DEFAULT, RECIPES, Recipe, load_recipe
from nhan.synth.stream import Line, LineStream, line

__all__ = [
    "DEFAULT",
    "RECIPES",
    "FolderReport",
    "Line",
    "LineStream",
    "Recipe",
    "line",
    "load_recipe",
    "write_folder",
]
