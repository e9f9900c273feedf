"""One change of many images at once: what may be done, by a request or a job, and undone."""
