"""A door between a client and what it connects to."""

import selectors
import socket
import threading

from gateway import HOST


class Gate:
    """A port in front of another that lets connections through only while it is open. Shut at first."""

    def __init__(self, target):
        self.target = target
        self.server = socket.create_server((HOST, 0))
        self.port = self.server.getsockname()[1]
        self.is_open = self.is_holding = False
        self.peers = {}
        self.lost = bytearray()  # of the target's answers since hold()
        self.ends = False
        self.lock = threading.Lock()
        self.select = selectors.DefaultSelector()
        self.select.register(self.server, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _accept(self):
        ours, _ = self.server.accept()
        try:
            theirs = socket.create_connection((HOST, self.target), timeout=1) if self.is_open else None
        except OSError:
            theirs = None
        if not theirs:
            ours.close()
            return
        self.peers[ours], self.peers[theirs] = theirs, ours
        for s in (ours, theirs):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.select.register(s, selectors.EVENT_READ)

    def _drop(self, one):
        for s in (one, self.peers.get(one)):
            if s in self.peers:
                del self.peers[s]
                self.select.unregister(s)
                s.close()

    def _pass_on(self, s):
        try:
            data = s.recv(1 << 16)
            if data and self.is_holding and s.getpeername()[1] == self.target:
                self.lost += data
                return
            if data:
                self.peers[s].sendall(data)
                return
        except OSError:
            pass
        self._drop(s)

    def _run(self):
        while not self.ends:
            for key, _ in self.select.select(0.05):
                with self.lock:
                    if key.fileobj is self.server and not self.is_holding:
                        self._accept()
                    elif key.fileobj in self.peers:
                        self._pass_on(key.fileobj)

    def open(self):
        self.is_open = True
        with self.lock:
            if self.is_holding:
                self.is_holding = False
                self.select.register(self.server, selectors.EVENT_READ)

    def hold(self):
        """Before the target is killed: what it answers is lost, and whoever connects is neither refused nor served until open()."""
        with self.lock:
            self.lost.clear()
            self.is_holding = True
            self.select.unregister(self.server)

    def close(self):
        """Nothing passes any more when this returns."""
        self.is_open = False
        with self.lock:
            for s in list(self.peers):
                self._drop(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()
        self.server.close()
