"""WSGI entry point."""
