"""The edge: HTTP, settings, and app.py, the one place where the parts meet."""
