"""What the tests of callers and their rights share: a caller, and an API server that says who is who."""

import threading

from agent.model.access import Caller

VIEWER = Caller("system:serviceaccount:flux:flux-viewer", "JTI=1")


class Reviews:
    """A stand-in for the API server: who is known, who may what where, and how often it was asked."""

    def __init__(self, *allowed, known=VIEWER):
        self.allowed, self.known = set(allowed), known
        self.tokens, self.questions = 0, []
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.gate.set()

    def review_token(self, token, audiences):
        with self.lock:
            self.tokens += 1
        assert self.gate.wait(60)
        return self.known

    def is_allowed(self, caller, right, namespace):
        with self.lock:
            self.questions.append((right, namespace))
        return (right, namespace) in self.allowed
