"""How core ends: whoever was let in is answered."""

from __future__ import annotations

import select
import time

from core import lingering

# Between finding the socket's path and standing in its queue; the path is gone when we are told to stop.
ARRIVAL_SECONDS = 0.05


class DrainingWorker(lingering.Worker):
    """Our gunicorn worker, which takes in everybody who waits at the door before it closes it.

    The stock worker leaves alone what the kernel has connected and nobody has accepted yet: such a client has sent
    its request, and hears nothing. What is under way, and kept-alive connections, it does treat well: they stay open
    for two seconds more, longer than nginx keeps an idle one (deploy/nginx/nginx.conf).
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        if not enabled and not self.alive:
            self._accept_who_waits()
            time.sleep(ARRIVAL_SECONDS)
            self._accept_who_waits()
        super().set_accept_enabled(enabled)

    def _accept_who_waits(self) -> None:
        # Never more than one worker serves at once, should connections come without end.
        while self.nr_conns < self.worker_connections:
            waiting, _, _ = select.select(self.sockets, [], [], 0)
            if not waiting:
                return
            for listener in waiting:
                self.accept(listener)
