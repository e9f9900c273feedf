"""Vectors where pgvector, an extension of PostgreSQL, can search them: filled, indexed and asked here.

The BLOBs stay the truth. A space has a table of its own, because a column has one dimension, with
half-precision copies of its live vectors. Whoever commits a vector commits its copy too.
"""
