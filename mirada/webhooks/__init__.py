"""Messages to servers of the users' choice about what happens to their images and jobs."""
