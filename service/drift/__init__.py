"""Served answers that are kept, their comparison with the recording, and their way to cases."""
