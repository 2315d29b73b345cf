"""Sameboat: a prompt, its model and its service, provably in the same boat.

The rooms of this package, from the ground up. Each imports only from the floors below it:

    0  errors, keys, strict_json, text_files, folders, private_files, settings, children, and the shared helpers
       json_pointer, atomic_files, file_lock, backoff, safe_paths, request_id, tracing, masking
    1  resources, exposure, telemetry, postgres, models
    2  engine
    3  prompts
    4  evaluation, builds
    5  doctor, drift
    6  http, workbench, cli
    7  studio
"""

__version__ = "0.1.0"
