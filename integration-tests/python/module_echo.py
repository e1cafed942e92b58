"""A module that says what it was handed: it offers actions, and ends each request with a row that holds the
request's action and DATA.

usage: module_echo.py ENDPOINT ACTION…"""

import json
import re
import sys

import zmq

socket = zmq.Context().socket(zmq.DEALER)
socket.setsockopt(zmq.IDENTITY, b"echo")
socket.connect(sys.argv[1])
ready = "[ECHOREADY] [] [] " + json.dumps({"actions": sys.argv[2:]})
socket.send_string(ready)
while True:
    if not socket.poll(2000):
        socket.send_string(ready)
        continue
    text = socket.recv_multipart()[0].decode()
    found = re.match(r"\[(\w+)\]\s+\[([^\]]+)\]\s+\[[^\]]*\]\s+(.*)", text, re.DOTALL)
    if not found or found[1] not in sys.argv[2:]:
        continue
    row = {"code": 1, "token": found[2], "data": {"action": found[1], "data": json.loads(found[3])}}
    socket.send_string("[PUTLOG] [] [] " + json.dumps(row))
