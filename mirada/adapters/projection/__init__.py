"""Ways to lay vectors out in two dimensions: the port `mirada.ports.Projection`."""
