"""Runs in the application's container while it is checked: the stub model, and what only the application's own identity, or its key, may do.

It reads a line of JSON for each question, and writes one for each answer. The first says what it has to know:

  line        server, or instance
  mark        is in every message, command and file of this check, and of no other
  command     that the model has the agent run
  tool        by which the agent runs commands, and end the arguments of the one by which it finishes
  port        of the application
  bucket      of the server's files
  key         name of the variable that has the key of the application's interface, and header the name of the header that takes it

When its input ends, whatever the reason, it takes back what the check has made.
"""

import fcntl
import http.client
import http.server
import json
import os
import re
import signal
import sys
import tempfile
import threading

# A leftover of another check is known by this: settings by the key of the model, conversations of instances by their tag.
NAME = "openhands-check"
# Conversations of the server are known by their title, and directories by their name: whole, as a person may give one of their own a name that begins so.
MARK = re.compile(re.escape(NAME) + "-[0-9a-f]{12}")
SETTINGS = "settings.json"
# An agent that does not come to the end is told to end.
MOST_CALLS = 5
# A check that was forgotten ends itself, as a lost connection may stay open.
LONGEST_SECONDS = 3600


def say(**answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Model(http.server.BaseHTTPRequestHandler):
    """Speaks the interface of OpenAI's models, as far as agents need it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = answer_to(request)
        reason = "tool_calls" if "tool_calls" in message else "stop"
        answer = {"id": NAME, "object": "chat.completion", "created": 1, "model": "gpt-4o"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not request.get("stream"):
            answer |= {"choices": [{"index": 0, "finish_reason": reason, "message": message}], "usage": usage}
            return self.write("application/json", json.dumps(answer))
        for n, call in enumerate(message.get("tool_calls", [])):
            call["index"] = n
        answer["object"] = "chat.completion.chunk"
        pieces = [
            answer | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            answer | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            answer | {"choices": [], "usage": usage},
        ]
        self.write("text/event-stream", "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n")

    def write(self, kind, text):
        raw = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def answer_to(request):
    """Has the agent of this check run the command, and finish once it has seen what that printed. Nobody else's agent runs anything."""
    messages = request.get("messages", [])
    if not any(settings["mark"] in json.dumps(m.get("content")) for m in messages):
        return {"role": "assistant", "content": "This installation is being checked. Enter your model in the settings."}
    if not request.get("tools"):
        return {"role": "assistant", "content": NAME}
    seen = [m for m in messages if m.get("role") == "tool"]
    name, arguments = settings["tool"], {"command": settings["command"], "security_risk": "LOW"}
    if any(settings["mark"] + " end" in json.dumps(m.get("content")) for m in seen) or len(seen) >= MOST_CALLS:
        name, arguments = "finish", settings["end"]
    return {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": f"call-{len(messages)}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}],
    }


def call(method, path, body=None):
    """Calls the application, as the door does."""
    connection = http.client.HTTPConnection("127.0.0.1", settings["port"], timeout=120)
    headers = {"Content-Type": "application/json", "Host": f"localhost:{settings['port']}"}
    if settings.get("key"):
        headers[settings["header"]] = os.environ[settings["key"]]
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except ValueError:
        return response.status, text[:500]


def bucket():
    from google.cloud import storage

    return storage.Client().bucket(settings["bucket"])


def begin():
    """Removes what an earlier check has left, and lends the server a model where nobody has entered one.

    The settings are written only where there are none, and never over somebody's: the bucket itself sees to it, by the generation of the object.
    """
    left = take_back(everything=True)
    if settings["line"] != "server":
        return {"left": left}
    from google.api_core.exceptions import PreconditionFailed

    lent = {
        "llm_model": "openai/gpt-4o", "llm_api_key": NAME, "llm_base_url": model_url, "agent": "CodeActAgent", "language": "en",
        "confirmation_mode": False, "enable_default_condenser": False,
    }
    blob = bucket().blob(SETTINGS)
    if blob.exists():
        return {"left": left, "model": "own"}
    try:
        blob.upload_from_string(json.dumps(lent), "application/json", if_generation_match=0)
    except PreconditionFailed:  # somebody has entered theirs at this moment
        return {"left": left, "model": "own"}
    return {"left": left, "model": "stub"}


def take_back_settings():
    """Deletes the settings if they are a check's."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    blob = bucket().get_blob(SETTINGS)
    if blob is None:
        return 0
    try:
        if json.loads(blob.download_as_bytes(if_generation_match=blob.generation)).get("llm_api_key") != NAME:
            return 0
        blob.delete(if_generation_match=blob.generation)
    except (NotFound, PreconditionFailed):  # somebody has entered theirs meanwhile
        return 0
    return 1


def of_a_check(everything):
    """Lists the conversations of this check, or of every one."""
    if settings["line"] == "server":
        status, found = call("GET", "/api/conversations?limit=100")
        ids = [c["conversation_id"] for c in found["results"] if MARK.fullmatch(str(c.get("title", "")))] if status == 200 else []
    else:
        status, found = call("GET", "/api/conversations/search?limit=100")
        ids = [c["id"] for c in found["items"] if "openhandscheck" in (c.get("tags") or {})] if status == 200 else []
    return ids if everything else [i for i in ids if i in mine]


def take_back(everything=False):
    """Removes the check's conversations, their objects and files, and the settings. It returns how many things there were."""
    removed = 0
    for conversation in sorted(set(of_a_check(everything)) | mine):
        status, _ = call("DELETE", f"/api/conversations/{conversation}")
        removed += status == 200
        mine.discard(conversation)
        if settings["line"] == "server":
            for blob in bucket().list_blobs(prefix=f"sessions/{conversation}/"):
                blob.delete()
    if settings["line"] == "server":
        removed += take_back_settings()
    else:
        removed += take_back_files()
    return removed


def take_back_files():
    import shutil

    names = os.listdir(settings["directory"]) if os.path.isdir(settings["directory"]) else []
    names = [name for name in names if MARK.fullmatch(name)]
    for name in names:
        shutil.rmtree(os.path.join(settings["directory"], name), ignore_errors=True)
    return len(names)


def objects(conversation):
    """Looks in the bucket for an event of the conversation that has what the command printed."""
    names = [blob for blob in bucket().list_blobs(prefix=f"sessions/{conversation}/events/")]
    for blob in names:
        if (settings["mark"] + " end").encode() in blob.download_as_bytes():
            return {"objects": len(names), "proof": blob.name}
    return {"objects": len(names)}


def file(path):
    """Says whether the command's file is there, and where what it is on is mounted."""
    with open("/proc/mounts") as f:
        points = [line.split()[1] for line in f]
    on = max((p for p in points if os.path.join(path, "").startswith(os.path.join(p, ""))), key=len)
    with open(path) as f:
        return {"found": settings["mark"] in f.read(), "mount": on}


def main():
    for line in sys.stdin:
        question = json.loads(line)
        try:
            match question["do"]:
                case "begin":
                    say(**begin())
                case "mine":
                    mine.add(question["conversation"])
                    say()
                case "call":
                    status, answer = call(question["method"], question["path"], question.get("body"))
                    say(status=status, answer=answer)
                case "objects":
                    say(**objects(question["conversation"]))
                case "file":
                    say(**file(question["path"]))
                case "end":
                    say(removed=take_back())
        except Exception as failure:
            say(error=f"{type(failure).__name__}: {failure}")


# What another check has made looks like what it has left. The lock ends with this process, however it ends.
lock = open(os.path.join(tempfile.gettempdir(), NAME + ".lock"), "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say(error="another check of this application is under way: wait until it has ended")
    sys.exit(1)
settings, mine = json.loads(sys.stdin.readline()), set()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
model_url = f"http://127.0.0.1:{server.server_port}/v1"
signal.signal(signal.SIGALRM, lambda *_: sys.exit("the check has taken too long"))
signal.alarm(LONGEST_SECONDS)
say(model=model_url)
try:
    main()
finally:
    signal.alarm(0)
    take_back()
