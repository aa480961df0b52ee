"""Models: the LLM protocol, the OpenAI-compatible client (the only door to `openai`), tokens, prices, detection."""
