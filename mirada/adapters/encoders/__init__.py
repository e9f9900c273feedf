"""Image and text encoders: OpenCLIP, batched, or of another Mirada."""
