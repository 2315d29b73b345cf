"""Measurements, side by side with peers in one run. Nothing here is asserted on: `make bench` writes docs/bench.*."""
