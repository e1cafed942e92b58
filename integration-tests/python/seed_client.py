"""A client of the seed's dialect, written from the protocol's description alone: pyzmq and
cryptography, nothing of gorgone's."""

import json
import re
import time

import zmq
from cryptography.hazmat.primitives import padding as pkcs7
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

VECTOR = b"0123456789012345"
KEYSIZE = 32
ANSWER = re.compile(r"^\[(.*?)\]\s+\[(.*?)\]\s+(?:\[.*?\]\s*)?(.*)$", re.S)


class Refused(Exception):
    pass


class SeedClient:
    def __init__(self, endpoint, server_key, client_key, identity, timeout=20):
        with open(server_key, "rb") as f:
            self.server_key = serialization.load_pem_public_key(f.read())
        with open(client_key, "rb") as f:
            self.client_key = serialization.load_pem_private_key(f.read(), None)
        self.identity = identity
        self.timeout = timeout
        self.key = None
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, identity.encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close()

    def raw(self, frame):
        self.socket.send(frame)

    def receive(self, timeout=None):
        if not self.socket.poll(int((timeout or self.timeout) * 1000)):
            raise TimeoutError("no answer")
        return self.socket.recv()

    def hello(self, spki=True, secret=b"HELO"):
        form = serialization.PublicFormat.SubjectPublicKeyInfo if spki else serialization.PublicFormat.PKCS1
        pem = self.client_key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
        helo = self.server_key.encrypt(secret, padding.PKCS1v15()).hex()
        return f"[{self.identity}] [{pem.replace(chr(10), chr(92) + 'n')}] [{helo}]".encode()

    def handshake(self, **kwargs):
        self.raw(self.hello(**kwargs))
        answer = self.receive()
        if answer.startswith(b"[ACK]"):
            raise Refused(answer.decode())
        plain = self.client_key.decrypt(answer, padding.PKCS1v15())
        head, self.key = plain[: -KEYSIZE - 1], plain[-KEYSIZE - 1 : -1]
        assert re.fullmatch(rb"\[KEY\] \[[^\]]*\] \[", head) and plain.endswith(b"]"), plain
        return self

    def seal(self, text):
        pad = pkcs7.PKCS7(128).padder()
        cipher = Cipher(algorithms.AES(self.key), modes.CBC(VECTOR)).encryptor()
        return cipher.update(pad.update(text.encode()) + pad.finalize()) + cipher.finalize()

    def open(self, frame):
        cipher = Cipher(algorithms.AES(self.key), modes.CBC(VECTOR)).decryptor()
        pad = pkcs7.PKCS7(128).unpadder()
        return (pad.update(cipher.update(frame) + cipher.finalize()) + pad.finalize()).decode()

    def answer(self, timeout=None):
        """(name, token, code, data) of the next answer that was asked for."""
        while True:
            match = ANSWER.match(self.open(self.receive(timeout)))
            name, token, data = match.groups()
            if name != "SYNCLOGS":
                body = json.loads(data)
                return name, token, body["code"], body["data"]

    def say(self, text):
        self.raw(self.seal(text))

    def ask(self, action, data=None, token="", target=""):
        self.say(f"[{action}] [{token}] [{target}] {json.dumps(data if data is not None else {})}")
        return self.answer()

    def rows(self, token, **filters):
        """Rows of a token in the order of their ids."""
        _, _, code, data = self.ask("GETLOG", {"token": token, **filters})
        assert code == 0, data
        return sorted(data["result"].values(), key=lambda row: int(row["id"]))

    def result(self, token, timeout=30):
        """The terminal row of a token, polled for as the seed recommends."""
        end = time.time() + timeout
        while time.time() < end:
            done = [row for row in self.rows(token) if row["code"] in (1, 2)]
            if done:
                assert len(done) == 1, done
                return done[0], json.loads(done[0]["data"])
            time.sleep(0.05)
        raise TimeoutError(f"token {token} has not ended")
