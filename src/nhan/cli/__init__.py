"""The `nhan` command: each file parses, calls one plain function, and prints."""
