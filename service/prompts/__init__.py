"""Prompts as files: parsed and checked, rendered once, fingerprinted, and run by the one way to an answer, `run`."""
