"""Servers, set up so that a start that fails is told, and a stop loses nothing.

`sturdyapi run` executes a line that names these modules. Each extends one server where that server
has a place for it: a worker class, a supervisor, a loop.
"""
