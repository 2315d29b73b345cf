"""Evaluation: run a prompt on its cases, judge the answers, compare with the promoted prompt, promote or refuse.

What comes in: a prompt, its cases, an engine (or a recording in place of one). What goes out: outcomes per case and
check, a verdict with the numbers behind it, a report for people and machines, and on PASS the files of a promotion.
It gets answers only through `service.prompts.run` and does not know of HTTP, notebooks or the terminal.
"""
