"""The steps of the loop as plain functions, one after another."""
