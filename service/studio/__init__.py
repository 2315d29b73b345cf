"""The studio: drafts are edited, run, compared, improved and promoted in the page, on a person's own machine.

In: the workspace of settings, and a key that is made at the start. Out: the service's application with further routes
under `/studio`, which call the same functions as notebooks and the command line.
Not here: any judgement (`service.evaluation`), and the page (`service.http.pages`).

The routes write files and import the checks of drafts, as a notebook does. So they exist only in `sameboat studio`, on
loopback, behind a key that the printed address holds. Images do not contain this folder.
"""
