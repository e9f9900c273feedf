"""What the files and the database say of each other, and how it is put right without losing anything."""
