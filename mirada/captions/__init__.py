"""What is said of a picture: captions written by people and by a model, and their vectors."""
