"""HTTP connections that do not wait for ever, and make room for each other."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# From so many on, the one that waited longest for its request is given up for a new one.
MOST = 400
# For a request to be whole but for its body, and for who has no key to take an answer.
ASKING_S, TAKING_S = 5.0, 15.0


class Connection(H11Protocol):
    """Hangs up on who asks for nothing; uvicorn does after an answer alone."""

    _asks: asyncio.TimerHandle | None = None
    _takes: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, in the place of another where there are many."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            others = (one for one in self.connections if isinstance(one, Connection))
            waiting = [(one._asks.when(), id(one), one) for one in others if one._asks]
            for *_, first in sorted(waiting)[:1]:
                first._hang_up()
        self._wait()

    def handle_events(self) -> None:
        """A request that has come is waited for no longer."""
        super().handle_events()
        if self.cycle and not self.cycle.response_complete:
            self._heard()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """What speaks from here on is no longer this one."""
        self._heard()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Wait for the next one, or for the rest of the body that an owner still sends."""
        super().on_response_complete()
        if self.conn.their_state is not h11.SEND_BODY or not self._has_owner():
            self._wait()

    def pause_writing(self) -> None:
        """The answer is not taken; an owner may look at half a film for as long as they like."""
        super().pause_writing()
        if not self._has_owner():
            self._takes = self.loop.call_later(TAKING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It is taken."""
        super().resume_writing()
        if self._takes:
            self._takes.cancel()

    def _has_owner(self) -> bool:
        return bool(self.scope and "owner" in self.scope)

    def _wait(self) -> None:
        self._heard()
        if not self.cycle or self.cycle.response_complete:  # a next one may have come already
            self._asks = self.loop.call_later(ASKING_S, self._hang_up)

    def _heard(self) -> None:
        if self._asks:
            self._asks.cancel()
        self._asks = None

    def _hang_up(self) -> None:
        self._heard()
        self.transport.close()
        self.loop.call_later(TAKING_S, self.transport.abort)  # where its last answer is not taken
