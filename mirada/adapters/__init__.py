"""One folder per port, one file per backend. Only `mirada.bootstrap` chooses among them."""
