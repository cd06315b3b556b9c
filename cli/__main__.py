"""`python -m cli` is `pod`."""

from cli.main import main

main()
