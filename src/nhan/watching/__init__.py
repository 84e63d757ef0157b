"""Is the model still good? Drift, estimated live quality, and what more labels would bring."""
