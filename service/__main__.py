"""`python -m service` is `sameboat`."""

from service.cli import main

main()
