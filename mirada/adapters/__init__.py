"""One folder per port, one file per backend. Only `mirada.runtime` chooses among them."""
