"""What tests and benchmarks share: servers, pictures, a loopback language model."""
