"""What nothing refers to any more, found and removed once it is old (`nhan gc`)."""
