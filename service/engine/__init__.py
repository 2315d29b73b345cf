"""Engines turn a request into tokens: `local` (llama.cpp in its own process) or `remote` (an OpenAI-compatible URL)."""
