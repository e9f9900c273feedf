"""The end of a user: keys at once, and by a job the images and all that was theirs beside them."""
