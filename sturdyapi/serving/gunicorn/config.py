"""Gunicorn's settings: `--config python:sturdyapi.serving.gunicorn.config` of `sturdyapi run`.

Every name without an underscore is one of Gunicorn's.
"""

from sturdyapi.serving.gunicorn.arbiter import Stewardship as _Stewardship

_stewardship = _Stewardship()

when_ready = _stewardship.when_ready
child_exit = _stewardship.child_exit
on_exit = _stewardship.on_exit

pre_fork = _stewardship.pre_fork
post_fork = _stewardship.post_fork

# X-Forwarded-Proto alone tells of https, as under every other server: a proxy that sets it may let
# a client's own word for the same through.
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}

# Of the ASGI worker: a background task goes on when its client has left.
asgi_disconnect_grace_period = 24 * 60 * 60

# It listens on a socket in the user's home, for a tool that few have.
control_socket_disable = True
