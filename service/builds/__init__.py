"""Builds: a brief comes in, and in the background an app is generated, checked, published and reported.

`runtime.Builds` is the door: submit, status, cancel, deliver. `workflow.py` is the story, step by step. The rooms
beside them each know one thing: `brief` what is asked, `store` what is remembered, `generate` how files come to be,
`verify` how they are checked, `forge` where they go, `callback` how it is reported. None of them knows HTTP routes.
"""
