"""The main job, as a third-party client sees it.

usage: main_job.py ENDPOINT SERVER_KEY CLIENT_KEY FIFO"""

import json
import os
import sys
import threading

from seed_client import Refused, SeedClient

endpoint, server_key, client_key, fifo = sys.argv[1:]
client = SeedClient(endpoint, server_key, client_key, "python-main-job")

# A HELO that decrypts to something else is refused in clear.
try:
    client.handshake(secret=b"HALO")
    raise AssertionError("a wrong HELO was accepted")
except Refused as refused:
    assert str(refused) == '[ACK] [] {"code":1,"data":{"message":"handshake issue"}}', refused

client.handshake(spki=False)
client.handshake()

# COMMAND, with the server's token and in all spellings.
for body in (
    {"command": "echo one; echo two >&2; exit 0"},
    {"content": {"command": "echo one; echo two >&2", "timeout": 5, "metadata": {"a": 1}}},
    {"content": [{"command": "echo one; echo two >&2"}]},
):
    name, token, code, data = client.ask("COMMAND", body)
    assert (name, code) == ("ACK", 0) and token, (name, code, data)
    row, result = client.result(token)
    assert row["code"] == 1 and result["exit_code"] == 0, result
    assert "one" in result["stdout"] and "two" in result["stdout"], result

# A failure says how it failed.
_, token, _, _ = client.ask("COMMAND", {"command": "exit 3"}, token="python-exit-3")
assert token == "python-exit-3"
row, result = client.result(token)
assert row["code"] == 2 and result["reason"] == "failed" and result["exit_code"] == 3, result
_, token, _, _ = client.ask("COMMAND", {"command": "kill -9 $$"})
row, result = client.result(token)
assert row["code"] == 2 and result["signal"] == 9 and "exit_code" not in result, result
_, token, _, _ = client.ask("COMMAND", {"content": {"command": "sleep 60", "timeout": 1}})
row, result = client.result(token)
assert row["code"] == 2 and result["reason"] == "timeout", result

# The same token again is the same request.
name, again, code, data = client.ask("COMMAND", {"command": "exit 3"}, token="python-exit-3")
assert (again, code) == ("python-exit-3", 0), data
_, _, code, data = client.ask("COMMAND", {"command": "exit 4"}, token="python-exit-3")
assert code == 1, data
assert [row["code"] for row in client.rows("python-exit-3")].count(2) == 1

# GETLOG's filters.
rows = client.rows("python-exit-3")
last = rows[-1]
assert client.rows("python-exit-3", code=2) == [last]
assert client.rows("python-exit-3", id=last["id"]) == []
assert client.rows("python-exit-3", id=str(rows[0]["id"] - 1)) == rows
assert client.rows("python-exit-3", ctime=last["ctime"] + 1) == []
assert client.rows("python-exit-3", etime=rows[0]["etime"]) == rows
assert client.rows("python-exit-3", limit=1) == rows[:1]
assert isinstance(last["data"], str) and isinstance(last["id"], int)

# CONSTATUS, REGISTERNODES, and the rest of core.
_, _, code, data = client.ask("REGISTERNODES", {"nodes": [
    {"id": 20, "type": "pull"},
    {"id": 150, "type": "push_zmq", "address": "10.3.2.1", "nodes": [400, {"id": 455, "pathscore": 5}]},
]})
assert code == 0, data
name, token, code, data = client.ask("CONSTATUS")
assert (name, code, data["action"], data["message"]) == ("ACK", 0, "constatus", "ok"), data
assert data["data"]["20"]["type"] == "pull" and data["data"]["150"]["nodes"] == {"400": 1, "455": 5}, data
assert client.ask("UNREGISTERNODES", {"nodes": [{"id": 20}, 150]})[2] == 0
assert client.ask("CONSTATUS")[3]["data"] == {}
name, _, code, data = client.ask("PING")
assert (name, code, data["message"], data["id"]) == ("PONG", 0, "ping ok", 1), data
assert client.ask("GETTHUMBPRINT")[3]["data"]["thumbprint"]
counters = client.ask("INFORMATION")[3]["data"]["counters"]
assert counters["external"]["actions"]["COMMAND"] >= 8, counters

# PUTLOG.
_, _, code, data = client.ask("PUTLOG", {"code": 2, "etime": 1419252684, "token": "put-by-python", "data": {"n": "é\U0001f600"}})
assert (code, data["message"]) == (0, "message inserted"), data
assert json.loads(client.rows("put-by-python")[0]["data"]) == {"n": "é\U0001f600"}

# Answers to bad input, as they are documented.
client.say("[nonsense")
assert client.answer() == ("ACK", "", 1, {"message": "request not well formatted"})
client.say("[PING] [x] []")
assert client.answer() == ("ACK", "", 1, {"message": "request not well formatted"})
client.say("[PING] [x] [] ")
assert client.answer()[0] == "PONG"
client.say("[COMMAND] [bad-json] [] {")
assert client.answer() == ("ACK", "bad-json", 1, {"message": "request not well formatted"})
assert client.ask("NOSUCH", {}) == ("ACK", "", 1, {"message": "action 'NOSUCH' is not known"})
assert client.ask("COMMAND", {"command": "true"}, token="far", target="99") == (
    "ACK", "far", 1, {"message": "no proxy configured. cannot manage target."})
assert len(client.rows("far")) == 1
assert client.ask("GETLOG", {}, token="no-filter") == ("ACK", "no-filter", 1, {"message": "need at least one filter"})
for number, value in enumerate((5, [], None, "text", {}, {"command": 5}, {"command": ""})):
    token = f"python-bad-{number}"
    _, token, code, _ = client.ask("COMMAND", value, token=token)
    if value is not None:
        assert code == 0
    row, result = client.result(token)
    assert row["code"] == 2 and result["reason"] == "rejected", (value, result)

# ENGINECOMMAND to a real pipe, with a reader and without.
line = "[1417705150] ENABLE_HOST_CHECK;host1"
lines = []
reader = threading.Thread(target=lambda: lines.append(open(fifo).readline()))
reader.start()
_, token, code, _ = client.ask("ENGINECOMMAND", {"command": line, "engine_pipe": fifo})
row, result = client.result(token)
assert row["code"] == 1, result
reader.join(10)
assert lines == [line + "\n"], lines
_, token, _, _ = client.ask("ENGINECOMMAND", {"command": line, "engine_pipe": fifo + ".missing"})
row, result = client.result(token)
assert row["code"] == 2, result
_, token, _, _ = client.ask("ENGINECOMMAND", {"command": line, "engine_pipe": os.path.abspath(__file__)})
row, result = client.result(token)
assert row["code"] == 2, result

client.close()
print("main job done")
