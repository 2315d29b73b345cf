"""Builds: an app is generated from a brief, checked, published and reported, in the background.

`runtime.Builds` is the interface: submit, status, cancel, deliver. `workflow` has the steps in their order. Each other
room has one task. `brief` validates, `store` holds the data, `generate` makes files, `verify` checks them, `forge`
publishes them, and `callback` reports. None of them knows HTTP routes.
"""
