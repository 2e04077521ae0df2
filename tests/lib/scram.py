"""SCRAM-SHA-256 as a client (RFC 5802, RFC 7677), from the standard library alone.

Only what PostgreSQL asks for: no channel binding, the user name left empty in the client's first message.
"""

import base64
import functools
import hashlib
import hmac
import os


@functools.lru_cache(maxsize=64)
def _salted(password, salt, iterations):
    """The slow part, done once per salt, so that many logins of one user cost their server's time and not ours."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


def _digest(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


class ScramClient:
    """One exchange: first(), then final(server_first), then verify(server_final)."""

    def __init__(self, password, gs2_header="n,,"):
        self._password = password.encode()
        self._gs2 = gs2_header
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        self._server_signature = b""

    def first(self):
        self._first_bare = f"n=,r={self._nonce}"
        return (self._gs2 + self._first_bare).encode()

    def final(self, server_first):
        fields = dict(item.split("=", 1) for item in server_first.decode().split(","))
        if not fields["r"].startswith(self._nonce):
            raise AssertionError("SCRAM: the server's nonce does not extend the client's")
        salted = _salted(self._password, base64.b64decode(fields["s"]), int(fields["i"]))
        binding = base64.b64encode(self._gs2.encode()).decode()
        without_proof = f"c={binding},r={fields['r']}"
        signed = f"{self._first_bare},{server_first.decode()},{without_proof}".encode()
        client_key = _digest(salted, b"Client Key")
        signature = _digest(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self._server_signature = _digest(_digest(salted, b"Server Key"), signed)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final):
        fields = dict(item.split("=", 1) for item in server_final.decode().split(","))
        if base64.b64decode(fields.get("v", "")) != self._server_signature:
            raise AssertionError("SCRAM: the server's signature is wrong")


def md5_response(user, password, salt):
    """The answer to AuthenticationMD5Password."""
    inner = hashlib.md5((password + user).encode()).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()
