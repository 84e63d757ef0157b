"""How good a version is, whether it may answer, and a report people enjoy reading."""
