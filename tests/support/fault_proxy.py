"""A proxy between an agent and its server that does what networks do: delay, cut, lose answers.

Its choices are those of a seeded random number generator, so that a run can be repeated.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

_READ_BYTES = 16 * 1024


@dataclass
class Faults:
    """How likely each fault is for a piece of traffic; they may be changed while it runs."""

    delay_seconds: float = 0.0  # at most; each piece waits a part of it
    cut: float = 0.0  # the connection ends in the middle of a piece, in either direction
    lose_answer: float = 0.0  # what was asked arrives, what is answered does not


class FaultProxy:
    """Listens on a port of its own, in a thread of its own, and passes on to one server."""

    def __init__(self, target_url: str, chance: random.Random, faults: Faults) -> None:
        parts = urlsplit(target_url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._chance = chance
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._away = False
        self._ready = threading.Event()
        self._stopped: asyncio.Event
        self.faults = faults
        self.cuts = 0
        self.lost_answers = 0
        self.url = ""

    def run(self) -> None:
        """Serve until `stop`."""
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def wait(self) -> None:
        """Return when it listens."""
        self._ready.wait()

    def stop(self) -> None:
        """End it, and all connections."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    def go_away(self) -> None:
        """Cut all connections, and refuse new ones, until `come_back`."""
        self._away = True
        self._loop.call_soon_threadsafe(self._cut_all)

    def come_back(self) -> None:
        """Pass on again."""
        self._away = False

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopped.wait()
        server.close()
        self._cut_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._away:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            await asyncio.gather(
                self._pass_on(reader, far_writer, ends, is_answer=False),
                self._pass_on(far_reader, writer, ends, is_answer=True),
            )
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: set[asyncio.StreamWriter],
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                if self.faults.delay_seconds:
                    await asyncio.sleep(self._chance.uniform(0, self.faults.delay_seconds))
                if is_answer and self._chance.random() < self.faults.lose_answer:
                    self.lost_answers += 1
                    break
                if self._chance.random() < self.faults.cut:
                    self.cuts += 1
                    writer.write(data[: self._chance.randrange(len(data))])
                    await writer.drain()
                    break
                writer.write(data)
                await writer.drain()
        for end in ends:  # what one side ends is over for the other
            if not end.transport.is_closing():
                end.close()


@contextlib.contextmanager
def running_proxy(
    target_url: str, chance: random.Random, faults: Faults | None = None
) -> Iterator[FaultProxy]:
    """Run a proxy in front of a server."""
    proxy = FaultProxy(target_url, chance, faults or Faults())
    thread = threading.Thread(target=proxy.run, name="fault proxy")
    thread.start()
    proxy.wait()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
