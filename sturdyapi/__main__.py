"""`python -m sturdyapi`: the command `sturdyapi`."""

from sturdyapi.cli import main

main()
