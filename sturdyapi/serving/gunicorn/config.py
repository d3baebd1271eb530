"""Gunicorn's settings: `--config python:sturdyapi.serving.gunicorn.config` of `sturdyapi run`.

Every name without an underscore is one of Gunicorn's.
"""

from sturdyapi.serving.gunicorn.arbiter import Stewardship as _Stewardship

_stewardship = _Stewardship()

when_ready = _stewardship.when_ready
child_exit = _stewardship.child_exit
on_exit = _stewardship.on_exit

# It listens on a socket in the user's home, for a tool that few have.
control_socket_disable = True
