"""What people say of classified pictures, and how it moves scores."""
