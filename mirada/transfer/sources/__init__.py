"""The places that pictures come from; each is a `mirada.transfer.importing.Source`."""
