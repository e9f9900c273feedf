"""Nearest neighbours: exact search, FAISS, and the thread that keeps an index fresh."""
