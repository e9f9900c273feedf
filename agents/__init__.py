"""A way in for agents: Mirada's library as tools of the Model Context Protocol.

It is a client of a server that runs, with the key of whoever uses it, so it can do what that key may do and
nothing else. Nothing of Mirada imports it.
"""
