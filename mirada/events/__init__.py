"""Changes as they happen: what a page is told of jobs, images and the index while it is open."""
