"""Tests of what the script takes for a check's own. That it takes it back is tested with the real applications, in tests/app."""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
OURS = "openhands-check-0123456789ab"
THEIRS = ["openhands-check", "openhands-check-notes", OURS + "-2", "my " + OURS]


class Application(http.server.BaseHTTPRequestHandler):
    """An instance of Agent Canvas without a conversation."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        raw = b'{"items": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class Script:
    def __init__(self, directory, port):
        environment = os.environ | {"TMPDIR": directory}
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.said = self.ask(line="instance", mark=OURS, directory=os.path.join(directory, "workspace"), port=port)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(timeout=30)


class Test(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def start(self):
        return Script(self.directory, self.server.server_port)

    def test_what_a_person_has_called_alike_stays(self):
        for name in [OURS, *THEIRS]:
            os.makedirs(os.path.join(self.directory, "workspace", name))
        script = self.start()
        self.assertEqual({"left": 1}, script.ask(do="begin"))
        self.assertEqual(0, script.end())
        self.assertEqual(sorted(THEIRS), sorted(os.listdir(os.path.join(self.directory, "workspace"))))

    def test_a_second_check_takes_nothing_from_the_first(self):
        first = self.start()
        os.makedirs(os.path.join(self.directory, "workspace", OURS))
        second = self.start()
        self.assertIn("another check of this application is under way", second.said["error"])
        self.assertEqual(1, second.end())
        self.assertEqual([OURS], os.listdir(os.path.join(self.directory, "workspace")))
        self.assertEqual(0, first.end())
        third = self.start()
        self.assertNotIn("error", third.said)
        self.assertEqual(0, third.end())


if __name__ == "__main__":
    unittest.main()
