"""Language models behind OpenAI's wire format."""
