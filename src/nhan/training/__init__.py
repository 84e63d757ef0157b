"""From a frozen dataset version, or a stream of made samples, to weights and an exported model."""
