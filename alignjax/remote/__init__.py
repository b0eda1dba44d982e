"""Language models behind an OpenAI-compatible endpoint, and what they said."""
