"""Model packages, the registry with its promotion log, and the predictor that answers."""
