"""Real servers for the tests, started from the machine's binaries and gone when the tests end."""
