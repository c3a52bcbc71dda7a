"""A proxy between two processes that cuts, delays, half-closes and stalls on command.

In a test: `with Proxy("unix:/x/coordinator.sock", "unix:/x/proxy.sock") as proxy: proxy.stall("up")`.
As a program, where the test must place it in another network namespace: one command per line on
stdin, "ok" after it holds, e.g. `ip netns exec a python3 proxy.py 10.0.0.1:7000 10.0.0.2:7000`.
The target "original" is where a redirected connection wanted to go (nft redirect); the proxy's own
connections carry MARK, so that the rule can leave them out.

"up" is from the one who connected to the target, "down" is back. What a command sets holds for the
connections of now and of later, until heal().
"""
import asyncio
import contextlib
import os
import pathlib
import socket
import struct
import sys
import threading

MARK = 0x524D
HELD_BYTES = 1 << 20  # in one direction, while it is delayed: then the sender has to wait
BOTH = ("up", "down")


def _ways(way):
    if way == "both":
        return BOTH
    if way not in BOTH:
        raise ValueError(f"no such direction: {way}")
    return (way,)


def _address(endpoint):
    """(family, address) of "unix:/path" or "host:port"."""
    if endpoint.startswith("unix:"):
        return socket.AF_UNIX, endpoint[len("unix:"):]
    host, port = endpoint.rsplit(":", 1)
    return socket.AF_INET, (host, int(port))


class _Rules:
    """What holds now for one direction of all connections."""

    def __init__(self):
        self.delay = 0.0
        self.flowing = asyncio.Event()
        self.flowing.set()


class _Pipe:
    """One direction of one connection."""

    def __init__(self, rules, source, sink, count):
        self._rules, self._source, self._sink, self._count = rules, source, sink, count
        self._loop = asyncio.get_running_loop()
        self._held = asyncio.Queue()
        self._held_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._shut = False

    async def read(self):
        while True:
            await self._rules.flowing.wait()
            await self._room.wait()
            data = await self._loop.sock_recv(self._source, 65536)
            # What arrived after a stall began waits, too: the gate is asked again before writing.
            await self._held.put((self._loop.time() + self._rules.delay, data))
            if not data:
                return
            self._held_bytes += len(data)
            if self._held_bytes > HELD_BYTES:
                self._room.clear()

    async def write(self):
        while True:
            due, data = await self._held.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._rules.flowing.wait()
            self._held_bytes -= len(data)
            self._room.set()
            if not data:
                self.half_close()
                return
            # After a half-close the sender knows nothing of it: what it sends goes nowhere.
            if not self._shut:
                await self._loop.sock_sendall(self._sink, data)
                self._count(len(data))

    def half_close(self):
        self._shut = True
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)


class _Connection:
    def __init__(self, near, far):
        self._sockets = (near, far)
        self.pipes = {}
        self.task = None

    def abort(self):
        """Reset, as a router that forgot the connection does; not a polite end."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.task.cancel()

    def close(self):
        for each in self._sockets:
            each.close()


class Proxy:
    def __init__(self, target, listen="127.0.0.1:0"):
        self._target = target
        self._listener = self._listen(listen)
        self.endpoint = listen if listen.startswith("unix:") else "%s:%d" % self._listener.getsockname()
        self.passed = {"up": 0, "down": 0}  # bytes
        self.accepted = 0  # connections that were let through
        self.refused = 0  # those that came while it was cut
        self._cut = False
        self._connections = set()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Each returns when it holds.
    def cut(self):
        """Resets every connection, and every new one at once, until heal()."""
        self._do(self._cut_now)

    def sever(self):
        """Resets every connection; new ones are welcome."""
        self._do(self._sever_now)

    def delay(self, seconds, way="both"):
        """Holds each byte that comes from now on for so long."""
        self._do(lambda: [setattr(self._rules[w], "delay", seconds) for w in _ways(way)])

    def stall(self, way="both"):
        """Takes nothing and passes nothing; no connection ends."""
        self._do(lambda: [self._rules[w].flowing.clear() for w in _ways(way)])

    def half_close(self, way):
        """The receiver of this direction sees the end of the stream; the other one goes on."""
        self._do(lambda: [c.pipes[w].half_close() for c in self._connections if c.pipes
                          for w in _ways(way)])

    def heal(self):
        """Passes everything again; what a stall held goes on, what was cut stays cut."""
        self._do(self._heal_now)

    def connections(self):
        return len(self._connections)

    def close(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        if self.endpoint.startswith("unix:"):
            pathlib.Path(self.endpoint[len("unix:"):]).unlink(missing_ok=True)

    @staticmethod
    def _listen(endpoint):
        family, address = _address(endpoint)
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if family == socket.AF_UNIX:
            os.chmod(address, 0o600)
        listener.listen(128)
        return listener

    def _do(self, change):
        done = threading.Event()
        failures = []

        def run():
            try:
                change()
            except Exception as failure:  # handed to the caller's thread
                failures.append(failure)
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()
        if failures:
            raise failures[0]

    def _sever_now(self):
        for connection in self._connections:
            connection.abort()

    def _cut_now(self):
        self._cut = True
        self._sever_now()

    def _heal_now(self):
        self._cut = False
        for rules in self._rules.values():
            rules.delay = 0.0
            rules.flowing.set()

    def _main(self, ready):
        asyncio.run(self._serve(ready))

    async def _serve(self, ready):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._rules = {way: _Rules() for way in BOTH}
        accepting = asyncio.create_task(self._accept())
        ready.set()
        await self._stop.wait()
        accepting.cancel()
        tasks = [connection.task for connection in self._connections]
        self._sever_now()
        await asyncio.gather(accepting, *tasks, return_exceptions=True)
        self._listener.close()

    async def _accept(self):
        while True:
            near, _ = await self._loop.sock_accept(self._listener)
            if self._cut:
                self.refused += 1
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                continue
            self.accepted += 1
            far = self._far_socket(near)
            connection = _Connection(near, far[0])
            self._connections.add(connection)
            connection.task = asyncio.create_task(self._pass(connection, near, *far))

    def _far_socket(self, near):
        if self._target != "original":
            family, address = _address(self._target)
            far = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        else:
            SO_ORIGINAL_DST = 80
            _, port, host = struct.unpack("!HH4s8x", near.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
            address = (socket.inet_ntoa(host), port)
            far = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        for each in (near, far):
            if each.family == socket.AF_INET:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return far, address

    async def _pass(self, connection, near, far, address):
        def counter(way):
            def count(size):
                self.passed[way] += size
            return count

        up = _Pipe(self._rules["up"], near, far, counter("up"))
        down = _Pipe(self._rules["down"], far, near, counter("down"))
        connection.pipes = {"up": up, "down": down}
        tasks = []
        try:
            await self._loop.sock_connect(far, address)
            tasks = [asyncio.create_task(part)
                     for part in (up.read(), up.write(), down.read(), down.write())]
            await asyncio.gather(*tasks)
        except (OSError, asyncio.CancelledError):
            pass  # either end is gone: so is the other
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._connections.discard(connection)
            connection.close()


def main():
    listen, target = sys.argv[1:3]
    with Proxy(target, listen) as proxy:
        print(proxy.endpoint, flush=True)
        for line in sys.stdin:
            command, *arguments = line.split()
            if command not in ("cut", "sever", "delay", "stall", "half_close", "heal"):
                print(f"unknown command: {command}", flush=True)
                continue
            if command == "delay":
                arguments[0] = float(arguments[0])
            getattr(proxy, command)(*arguments)
            print("ok", flush=True)


if __name__ == "__main__":
    main()
