"""FastAPI's and Starlette's published tests, run against `SturdyAPI`.

The suites run twice, in processes of their own: as published, and with a stand-in that is a
`SturdyAPI` where the suite expects `FastAPI` or `Starlette`. Every test must end the same way.
What differs on purpose is listed in `explained.py`: a practice that is switched off by a keyword,
or an answer that the stand-in translates back.
"""
