"""Evaluation: run a prompt on its cases, judge the answers, compare with the promoted prompt, promote or refuse.

In: a prompt, its cases, and an engine or a recording. Out: the outcome of every case and check, a verdict with its
numbers, a report for people and machines, and after a PASS the files of a promotion.
Not here: HTTP, notebooks and the terminal. Answers come from `service.prompts.run` only.
"""
