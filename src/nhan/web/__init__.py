"""The console: pages and their API, mounted in the server beside the prediction routes."""
