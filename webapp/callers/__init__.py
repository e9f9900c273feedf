"""Callers: authentication, scopes and browser sessions."""
