"""How the bundled encoder was made. The product never imports this package."""
