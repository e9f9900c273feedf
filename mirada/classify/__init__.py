"""Classification: the labels that a picture shows, the label set, and label expansions."""
