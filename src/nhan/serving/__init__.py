"""Answering over HTTP: an HTTP-free service, and one route table in front of it."""
