"""`python -m spendstream` is the same as the command `spendstream`."""

from spendstream.cli import main

main()
