"""Building blocks: tested, accessible pieces of pages, chosen and filled for a brief.

In: a brief's words, the code of its checks, the texts of its files. Out: a plan of pieces, and the page of a plan.

`reading` reads the elements that the brief names. `fit_*` say which pieces fit them, `matching` puts the pieces
together, `page` renders a plan. `pieces/` holds the JavaScript.

Not here: which candidate is kept (`service.builds.generation_steps`).
"""
