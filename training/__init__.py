"""The training of the bundled encoder. The product never imports this package."""
