"""FAISS: published snapshots, the delta over them, and the planner between exact and HNSW."""
