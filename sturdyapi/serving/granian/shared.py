"""What a worker and its parent process tell each other."""

from __future__ import annotations

import mmap

__all__ = ["Shared"]


class Shared:
    """Two bytes of memory that a worker inherits when it is forked."""

    def __init__(self) -> None:
        self._bytes = mmap.mmap(-1, 2)

    @property
    def is_ready(self) -> bool:
        """The worker has begun to serve."""
        return bool(self._bytes[0])

    @is_ready.setter
    def is_ready(self, value: bool) -> None:
        self._bytes[0] = value

    @property
    def leaves_service(self) -> bool:
        """The parent stops as well; otherwise other workers take over."""
        return bool(self._bytes[1])

    @leaves_service.setter
    def leaves_service(self, value: bool) -> None:
        self._bytes[1] = value
