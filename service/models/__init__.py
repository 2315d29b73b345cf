"""Which models exist, where their bytes are, whether they are whole, whether they fit."""
