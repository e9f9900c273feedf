"""Packs: ordered sets of pictures, by hand or filled by a search, with suggestions for them."""
