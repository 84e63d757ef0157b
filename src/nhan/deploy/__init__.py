"""Files for other systems, generated from the same settings and packages."""
