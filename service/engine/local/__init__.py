"""The local engine: llama.cpp in its own process, many requests on one small machine.

`client` is the side that the service holds (it never imports llama_cpp), `worker` the process that owns the weights.
Between them, `protocol`. Inside the worker: `scheduler` decides, `context` computes, `sampling`, `constraint` and
`labels` choose tokens, `tokens` turns them into text.
"""
