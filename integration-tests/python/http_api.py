"""Every line of the HTTP contract, as existing clients and new ones see it.

The node has the users admin (may do everything), reader (may read the log), robot (has a token); module_echo.py offers
the actions of cron and file copy.

usage: http_api.py URL METRICS FIFO"""

import base64
import json
import sys
import threading
import time

import requests

url, metrics, fifo = sys.argv[1:]
api = requests.Session()
api.auth = ("admin", "geheim")


def exactly(response, status, body):
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/json", response.headers
    assert response.json() == body, response.text
    assert response.text == json.dumps(body, separators=(",", ":")), response.text


def problem(response, status, error):
    """Problem details, which older clients can read too."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json", response.headers
    body = response.json()
    assert body["status"] == status and body["error"] == error, body
    assert body["type"] == f"urn:gorgone:{error}" and body["title"] and body["detail"] == body["message"], body
    return body


def accepted(response):
    """An asynchronous call answers with its token, and nothing else."""
    assert response.status_code == 200, (response.status_code, response.text)
    body = response.json()
    assert list(body) == ["token"] and body["token"], body
    return body["token"]


def ended(token):
    """The rows of a token that has ended."""
    body = api.get(f"{url}/api/log/{token}", params={"wait": "30s"}).json()
    assert body["message"] == "Logs found" and body["token"] == token, body
    assert list(body) == ["message", "token", "data"], body
    for row in body["data"]:
        assert list(row) == ["id", "token", "code", "etime", "ctime", "data"], row
        assert row["token"] == token and isinstance(row["data"], str), row
    assert body["data"][-1]["code"] in (1, 2), body
    return body["data"]


def result(token):
    return json.loads(ended(token)[-1]["data"])


# --- the ground rules -------------------------------------------------------------------------------------------
forbidden = {"error": "http_error_403", "message": "forbidden"}
unknown = {"error": "method_unknown", "message": "Method not implemented"}
decode = {"error": "decode_error", "message": "POST content must be JSON-formated"}
unauthorized = {"error": "http_error_401", "message": "unauthorized"}
nothing = {"error": "no_log", "message": "No log found for token", "data": [], "token": "nobody-knows-it"}

for path in ("/", "/nosuch", "/apix", "/healthz", "/metrics", "/ap/i/log"):
    for method in ("GET", "POST", "DELETE"):
        exactly(api.request(method, url + path, data="{"), 403, forbidden)
for path in ("/api", "/api/", "/api/nosuch", "/api/core/action/nosuch", "/api/nodes/1", "/api/nodes/1/nosuch/a/b"):
    for method in ("GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"):
        exactly(api.request(method, url + path, data="{}"), 404, unknown)
for method, path in (("GET", "/api/core/action/command"), ("POST", "/api/internal/constatus"), ("PUT", "/api/log"),
                     ("DELETE", "/api/log/x"), ("PATCH", "/api/requests"), ("OPTIONS", "/api/log"), ("TRACE", "/api/log")):
    answer = api.request(method, url + path, data="{}")
    exactly(answer, 404, unknown)
    assert answer.headers["allow"], answer.headers
for body in (b"", b"{", b"nothing", b"{'a':1}", b'{"a":1} x', b'"\xff"', b"\xfe\xff", b'{"a":"\n"}'):
    exactly(api.post(f"{url}/api/core/action/command", data=body), 400, decode)
    exactly(api.patch(f"{url}/api/core/cron/definitions/x", data=body), 400, decode)

status = api.get(f"{url}/status").json()
assert abs(status["starttime"] - time.time()) < 600 and status["modules"]["gorgone-httpserver"]["state"] == "ready", status
assert api.get(f"{url}/api/internal/constatus/").status_code == 200, "a slash at the end changes nothing"

for wrong in (None, ("admin", "wrong"), ("nobody", "geheim"), ("", ""), ("admin:geheim", "")):
    answer = requests.get(f"{url}/api/internal/constatus", auth=wrong)
    exactly(answer, 401, unauthorized)
    assert 'Basic realm="gorgone"' in answer.headers["www-authenticate"], answer.headers
for header in ("Basic", "Basic !!", "Bearer nothing", "Digest x", "é".encode("latin-1")):
    exactly(requests.get(f"{url}/api/nosuch", headers={"authorization": header}), 401, unauthorized)
assert requests.get(f"{url}/api/internal/constatus", headers={"authorization": "Bearer 0123456789abcdef-robot"}).ok

# The body becomes `content`, the rest of the path `variables`, the query `parameters`.
echoed = result(accepted(api.post(f"{url}/api/core/cron/definitions", params={"a": "é b", "c": ""}, json=[{"id": "x"}])))
assert echoed == {"action": "ADDCRON", "data": {
    "content": [{"id": "x"}], "variables": [], "parameters": {"a": "é b", "c": ""}}}, echoed

# --- the table --------------------------------------------------------------------------------------------------
for prefix in ("/api", "/api/nodes/1", "/api/targets/1"):
    body = api.get(f"{url}{prefix}/internal/constatus").json()
    assert body["action"] == "constatus" and body["message"] == "ok", body
    assert body["data"]["2"]["type"] == "pull", body
    body = api.get(f"{url}{prefix}/internal/thumbprint").json()
    assert body["action"] == "getthumbprint" and body["message"] == "ok" and len(body["data"]["thumbprint"]) == 43, body
    body = api.get(f"{url}{prefix}/internal/information").json()
    assert body["message"] == "ok", body
    assert set(body["data"]["counters"]) == {"internal", "external", "proxy"}, body
    assert body["data"]["counters"]["internal"]["actions"]["CONSTATUS"] >= 1, body
    assert body["data"]["modules"]["gorgone-action"]["state"] == "ready", body
    assert body["data"]["endpoints"]["external"].startswith("tcp://"), body
    assert body["data"]["api_endpoints"]["POST_/core/action/command"] == "COMMAND", body

    for severity in ("debug", "info", "default"):
        answer = api.post(f"{url}{prefix}/internal/logger", json={"severity": severity})
        assert answer.status_code == 204 and answer.content == b"", answer.text
    problem(api.post(f"{url}{prefix}/internal/logger", json={"severity": "loud"}), 422, "refused")

    for body in ({"command": "echo é 😀"}, [{"command": "echo é 😀", "timeout": 5, "metadata": {"ü": 1}}]):
        done = result(accepted(api.post(f"{url}{prefix}/core/action/command", json=body)))
        assert done["stdout"] == "é 😀\n" and done["exit_code"] == 0, done
    several = [{"command": "exit 3", "continue_on_error": True}, {"command": "echo two"}]
    assert result(accepted(api.post(f"{url}{prefix}/core/action/command", json=several)))["stdout"] == "two\n"
    for nonsense in (5, [], None, {}, "text", [[]]):
        assert result(accepted(api.post(f"{url}{prefix}/core/action/command", data=json.dumps(nonsense))))["reason"] == "rejected"

    line = "[1417705150] ENABLE_HOST_CHECK;hôte"
    lines = []
    reader = threading.Thread(target=lambda: lines.append(open(fifo, encoding="utf-8").readline()))
    reader.start()
    token = accepted(api.post(f"{url}{prefix}/centreon/engine/command", json={"command": line, "command_file": fifo}))
    assert ended(token)[-1]["code"] == 1
    reader.join(10)
    assert lines == [line + "\n"], lines

    definitions = f"{url}{prefix}/core/cron/definitions"
    for method, path, body, action, variables in (
            ("GET", "", None, "GETCRON", []),
            ("POST", "", [{"id": "j"}], "ADDCRON", []),
            ("GET", "/j%C3%B6b", None, "GETCRON", ["jöb"]),
            ("PATCH", "/j", {"timespec": "* * * * *"}, "UPDATECRON", ["j"]),
            ("DELETE", "/j", None, "DELETECRON", ["j"]),
            ("GET", "/j/status", None, "GETCRON", ["j", "status"]),
            ("GET", "/a%2Fb/next?n=3", None, "GETCRON", ["a/b", "next"]),
            ("POST", "/j/run", None, "RUNCRON", ["j", "run"]),
            ("GET", "/j/any/more", None, "GETCRON", ["j", "any", "more"])):
        done = result(accepted(api.request(method, definitions + path, json=body)))
        assert (done["action"], done["data"]["variables"], done["data"]["content"]) == (action, variables, body), done
    assert done["data"]["parameters"] == {}
    copy = {"source": "/etc/hosts", "destination": "/tmp/x"}
    done = result(accepted(api.post(f"{url}{prefix}/core/proxy/remotecopy", json=copy)))
    assert (done["action"], done["data"]["content"]) == ("REMOTECOPY", copy), done

    exactly(api.get(f"{url}{prefix}/log/nobody-knows-it"), 200, nothing)
    token = accepted(api.post(f"{url}{prefix}/core/action/command", json={"command": "true"}))
    rows = ended(token)
    assert api.get(f"{url}{prefix}/log/{token}").json() == {"message": "Logs found", "token": token, "data": rows}
    for filters, expected in (({"code": 1}, rows[-1:]), ({"limit": 1}, rows[:1]), ({"id": rows[-1]["id"]}, []),
                              ({"ctime": rows[-1]["ctime"] + 9}, []), ({"etime": 1}, rows)):
        assert api.get(f"{url}{prefix}/log/{token}", params=filters).json()["data"] == expected, filters

# Another node, with no way to it.
problem(api.post(f"{url}/api/nodes/99/core/action/command", json={"command": "true"}), 404, "no_route")
problem(api.get(f"{url}/api/nodes/99/internal/constatus"), 404, "no_route")
assert "99" in api.get(f"{url}/api/nodes/99/log/{token}").json()["warning"]
problem(api.get(f"{url}/api/nodes/x/internal/constatus"), 400, "bad_node")

# --- waiting ----------------------------------------------------------------------------------------------------
began = time.monotonic()
body = api.post(f"{url}/api/core/action/command?log_wait=20000000&sync_wait=1000", json={"command": "sleep 0.3; echo x"}).json()
assert body["message"] == "Logs found" and body["data"][-1]["code"] == 1, body
body = api.post(f"{url}/api/core/action/command?wait=20s", json={"command": "sleep 0.3; echo x"}).json()
assert json.loads(body["data"][-1]["data"])["stdout"] == "x\n", body
assert time.monotonic() - began < 15, "the answer comes with the end, and not with the deadline"
body = api.post(f"{url}/api/core/action/command", params={"wait": "300ms"}, json={"command": "sleep 30"}).json()
assert all(row["code"] == 0 for row in body.get("data")), body
token = body["token"]
body = api.get(f"{url}/api/log/{token}?log_wait=100000").json()
assert all(row["code"] == 0 for row in body["data"]), body
for name, value in (("wait", "soon"), ("wait", ""), ("wait", "-1"), ("log_wait", "x"), ("sync_wait", "-5"), ("ttl", "x")):
    problem(api.post(f"{url}/api/core/action/command", params={name: value}, json={"command": "true"}), 400, "bad_parameter")

# --- ending it --------------------------------------------------------------------------------------------------
assert api.delete(f"{url}/api/tasks/{token}").json() == {"token": token, "message": "killed while it ran"}
assert result(token)["reason"] == "cancelled"
problem(api.delete(f"{url}/api/tasks/{token}"), 409, "over")
problem(api.delete(f"{url}/api/tasks/nobody-knows-it"), 404, "unknown_token")

# --- events -----------------------------------------------------------------------------------------------------
def events(token, after=None):
    headers = {"last-event-id": str(after)} if after is not None else {}
    answer = api.get(f"{url}/api/log/{token}/stream", headers=headers, stream=True)
    if answer.status_code != 200:
        return answer.status_code
    assert answer.headers["content-type"] == "text/event-stream", answer.headers
    found = []
    event = {}
    for line in answer.iter_lines():
        key, _, value = line.decode().partition(": ")
        if line:
            event[key] = value
        elif "data" in event:
            found.append((int(event["id"]), event["event"], json.loads(event["data"])))
            event = {}
        else:
            event = {}
    return found


token = accepted(api.post(f"{url}/api/core/action/command", json={"command": "for i in 1 2 3; do echo zeile-$i; sleep 0.3; done"}))
came = events(token)
assert [name for _, name, _ in came][-1] == "end" and "output" in [name for _, name, _ in came], came
assert [row for _, _, row in came] == ended(token)
written = "".join(json.loads(row["data"])["output"] for _, name, row in came if name == "output")
assert written == "zeile-1\nzeile-2\nzeile-3\n", written
middle = came[1][0]
assert events(token, middle) == came[2:], "it goes on after the last event"
assert events(token, came[-1][0]) == 204, "nothing more comes"
assert events("nobody-knows-it") == 404
problem(api.get(f"{url}/api/log/{token}/stream", headers={"last-event-id": "x"}), 400, "bad_parameter")

# --- pages ------------------------------------------------------------------------------------------------------
seen = []
page = api.get(f"{url}/api/log", params={"limit": 7, "since": "1h"})
while True:
    body = page.json()
    assert len(body["data"]) <= 7, body
    seen += [row["id"] for row in body["data"]]
    if body["next"] is None:
        assert "link" not in page.headers
        break
    assert page.links["next"]["url"].startswith("/api/log?") and body["next"] == seen[-1], page.headers
    page = api.get(url + page.links["next"]["url"])
assert seen == sorted(seen, reverse=True) and len(seen) == len(set(seen)) > 50, seen
assert {row["code"] for row in api.get(f"{url}/api/log?code=2&limit=5").json()["data"]} == {2}
assert api.get(f"{url}/api/log?since=9999999999").json() == {"message": "No log found", "data": [], "next": None}
assert api.get(f"{url}/api/log?until=1").json()["data"] == []
assert api.get(f"{url}/api/log?node=77").json()["data"] == []
for query in ("limit=0", "limit=1001", "limit=x", "code=x", "since=yesterday", "until=", "node=-1", "after=x"):
    answer = api.get(f"{url}/api/log?{query}")
    assert answer.status_code == 400, (query, answer.text)

# --- any request ------------------------------------------------------------------------------------------------
def ask(**request):
    return api.post(f"{url}/api/requests", json=request)


body = ask(action="CONSTATUS").json()
assert body["code"] == 0 and body["token"] and body["data"]["message"] == "ok", body
token = f"a token of my own: é 😀 {time.time()}"
for _ in range(3):
    body = ask(action="COMMAND", token=token, target=1, data={"command": "date +%N"}).json()
    assert (body["code"], body["token"]) == (0, token), body
rows = api.get(f"{url}/api/log/{requests.utils.quote(token, safe='')}?wait=30s").json()["data"]
assert [row["code"] for row in rows].count(1) == 1, "said three times, done once"
problem(ask(action="COMMAND", token=token, data={"command": "other"}), 422, "refused")
assert problem(ask(action="BCASTLOGGER", data={}), 422, "refused")["code"] == 1
exactly(ask(action="NOSUCHTHING"), 404, unknown)
exactly(ask(action="XREADY", data={"actions": ["COMMAND"]}), 404, unknown)
for wrong in ({}, {"action": 5}, {"action": "PING", "more": 1}, []):
    problem(api.post(f"{url}/api/requests", json=wrong), 422, "bad_request")
problem(ask(action="a b"), 400, "bad_parameter")
problem(ask(action="PING", target="x"), 400, "bad_node")
problem(ask(action="PING", token="a]b"), 400, "bad_parameter")
problem(ask(action="PING", token="x" * 2049), 400, "bad_parameter")
exactly(api.post(f"{url}/api/requests", data="{"), 400, decode)

# --- rights -----------------------------------------------------------------------------------------------------
reader = requests.Session()
reader.auth = ("reader", "lesen")
assert reader.get(f"{url}/api/log").ok
body = problem(reader.post(f"{url}/api/core/action/command", json={"command": "true"}), 403, "forbidden")
assert "reader" in body["detail"] and body["code"] == 1, body
problem(reader.delete(f"{url}/api/tasks/x"), 403, "forbidden")

# --- the document, its page, and what is beside them --------------------------------------------------------------
document = api.get(f"{url}/api/openapi.json").json()
assert document["openapi"].startswith("3.1"), document["openapi"]
operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
for method, path in (("GET", "/api/internal/constatus"), ("POST", "/api/core/action/command"), ("GET", "/api/log"),
                     ("PATCH", "/api/nodes/{node}/core/cron/definitions/{id}"), ("GET", "/api/log/{token}/stream"),
                     ("DELETE", "/api/tasks/{token}"), ("POST", "/api/requests"), ("GET", "/status"),
                     ("POST", "/api/targets/{node}/centreon/engine/command")):
    assert (method, path) in operations, (method, path)
ids = [about["operationId"] for item in document["paths"].values() for about in item.values()]
assert len(ids) == len(set(ids)), "every operation has a name of its own"
page = api.get(f"{url}/api/docs")
assert page.ok and page.headers["content-type"].startswith("text/html") and "default-src 'none'" in page.headers["content-security-policy"]
assert "://" not in page.text, "it needs nothing from outside"

for answer in (api.get(f"{url}/api/log"), api.get(f"{url}/api/nosuch")):
    assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
    assert not any(name.lower().startswith("access-control") for name in answer.headers)
head = api.head(f"{url}/api/internal/constatus")
assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) > 0, head.headers

assert requests.get(f"{metrics}/healthz").json()["status"] == "ok"
assert requests.get(f"{metrics}/readyz").json() == {"status": "ok", "reason": "ready", "checks": {"core": "ok"}}
text = requests.get(f"{metrics}/metrics").text
assert 'gorgone_http_requests_total{route="/api/log/{token}",method="GET",status="200"}' in text, text
assert "nobody-knows-it" not in text and "gorgone_http_connections " in text, text

# --- names of every kind ------------------------------------------------------------------------------------------
for token in ("x" * 2048, "é", "日本語", "😀", "a b", "a/b", "a%b", "a?b#c", "a&b=c", "..", "%2e%2e", "\u202e", "'\"<>"):
    quoted = requests.utils.quote(token, safe="").replace("..", "%2e%2e")
    prepared = requests.Request("GET", f"{url}/api/log/x", auth=api.auth).prepare()
    prepared.url = f"{url}/api/log/{quoted}"
    answer = api.send(prepared)
    assert answer.json() == {**nothing, "token": token}, (token, answer.text)
for quoted in ("%00", "%0a", "%5d", "%ff", "x" * 2049, "%f0%28%8c%28"):
    prepared = requests.Request("GET", f"{url}/api/log/x", auth=api.auth).prepare()
    prepared.url = f"{url}/api/log/{quoted}"
    problem(api.send(prepared), 400, "bad_parameter")
problem(api.get(f"{url}/api/log?code=%ff"), 400, "bad_parameter")
print("every line holds")
