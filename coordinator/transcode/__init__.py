"""Between what clients speak and what agents speak (always streamed OpenAI chat completions)."""
