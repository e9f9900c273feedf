"""The verbs: one function is one transaction's work, given a Session and ports; none commits."""
