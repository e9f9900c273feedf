"""The web application: HTTP in, use cases called, HTTP out."""
