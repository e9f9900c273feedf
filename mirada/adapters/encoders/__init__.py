"""Image and text encoders: OpenCLIP and sentence-transformers models, batched and cached."""
