"""`python -m sturdyapi.serving.uvicorn APP [OPTIONS]`, with the options of Uvicorn."""

from .command import main

if __name__ == "__main__":
    main()
