"""How centres of groups are computed: the port `mirada.ports.Grouping`."""
