"""`python -m sturdyapi.serving.granian APP [OPTIONS]`, with the options of Granian."""

from sturdyapi._extras import needs_extra

with needs_extra("sturdyapi.serving.granian", "granian", package="granian"):
    import granian  # noqa: F401 - told here, before the modules that need it

from .command import main

if __name__ == "__main__":
    main()
