"""`python -m tradeloop`."""

from tradeloop.cli import main

main()
