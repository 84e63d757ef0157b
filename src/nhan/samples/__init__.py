"""Samples: pictures and what is known of them, taken in from others' files and given out again."""
