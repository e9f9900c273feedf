"""What requests and replies look like, one file per resource."""
