"""Tests of the rules by which the clean-up decides. Its calls of the real API server are tested in tests/cluster."""

import contextlib
import datetime
import io
import json
import os
import unittest
import urllib.error
from unittest import mock

import cleanup

NOW = datetime.datetime.now(datetime.timezone.utc)
SUFFIXES = {"pods": "", "services": "-svc", "ingresses": "-ingress-code", "persistentvolumeclaims": "-pvc"}


def item(kind, session="a", notes=None, **status):
    name = cleanup.PREFIX + session + SUFFIXES[kind]
    metadata = {"name": name, "uid": "uid-" + name, "resourceVersion": "7", "annotations": notes or {}}
    return {"metadata": metadata, "status": status}


def unused(hours, seen_hours=0.0):
    return {
        cleanup.SINCE: (NOW - datetime.timedelta(hours=hours)).isoformat(),
        cleanup.SEEN: (NOW - datetime.timedelta(hours=seen_hours)).isoformat(),
    }


class Cluster:
    """Keeps the calls. Those in refused raise the API server's answer."""

    def __init__(self, refused=(), pods=()):
        self.calls, self.refused, self.pods = [], dict(refused), pods

    def call(self, method, kind, name="", body=None):
        self.calls.append((method, name))
        self.body = body
        if name in self.refused:
            raise urllib.error.HTTPError("", self.refused[name], "refused", {}, None)

    def has_pod(self, session):
        return session in self.pods


class Rules(unittest.TestCase):
    def run_on(self, *objects, answers=(), cluster=None, keep_days="30"):
        """Runs the clean-up on objects. The server says the answers one after the other, the last for ever."""
        cluster = cluster or Cluster()
        items = {kind: [o for k, o in objects if k == kind] for kind in cleanup.KINDS}
        said = list(answers) or [cleanup.SILENT]
        self.printed = io.StringIO()
        with (
            mock.patch.dict(os.environ, {"KEEP_MINUTES": "60", "KEEP_VOLUME_DAYS": keep_days}),
            mock.patch.object(cleanup, "ask", lambda session: said.pop(0) if len(said) > 1 else said[0]),
            contextlib.redirect_stdout(self.printed),
        ):
            self.code = cleanup.Run(cluster, items).all()
        return cluster.calls

    def of(self, kind, *args, **status):
        return kind, item(kind, *args, **status)

    def test_a_pod_that_has_ended_goes_at_once_with_its_services_and_ingress(self):
        everything = [self.of(kind) for kind in cleanup.KINDS if kind != "pods"]
        pod = self.of("pods", phase="Failed", reason="Evicted", message="The node was low on resource: memory.", containerStatuses=[
            {"name": "runtime", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}},
        ])
        calls = self.run_on(pod, *everything, answers=[cleanup.WORKS])
        self.assertEqual([name for method, name in calls if method == "DELETE"],
                         ["openhands-runtime-a", "openhands-runtime-a-svc", "openhands-runtime-a-ingress-code"])
        why = json.loads(self.printed.getvalue().splitlines()[0])
        self.assertEqual(why["ended"], "Failed; Evicted; The node was low on resource: memory.; runtime: OOMKilled, exit code 137")
        self.assertEqual(why["severity"], "WARNING")
        self.assertEqual(self.code, 0)

    def test_whatever_the_server_says(self):
        for answer in (cleanup.WORKS, cleanup.STOPPED, cleanup.UNKNOWN, cleanup.SILENT):
            self.assertEqual(self.run_on(self.of("pods", phase="Succeeded"), answers=[answer]), [("DELETE", "openhands-runtime-a")], answer)

    def test_a_pod_that_came_anew_meanwhile_keeps_its_services(self):
        for code in (404, 409):
            calls = self.run_on(self.of("pods", phase="Failed"), self.of("services"), answers=[cleanup.WORKS], cluster=Cluster({"openhands-runtime-a": code}))
            self.assertEqual(calls, [("DELETE", "openhands-runtime-a")])
            self.assertEqual(self.code, 0)

    def test_pods_that_run_or_begin_stay(self):
        for phase in ("Running", "Pending", "Unknown"):
            self.assertEqual(self.run_on(self.of("pods", phase=phase), answers=[cleanup.WORKS]), [], phase)

    def test_the_deletion_is_of_what_was_listed(self):
        cluster = Cluster()
        self.run_on(self.of("pods", phase="Failed"), cluster=cluster)
        self.assertEqual(cluster.body, {"preconditions": {"uid": "uid-openhands-runtime-a", "resourceVersion": "7"}})

    def test_what_no_agent_uses_is_noted_first_and_goes_after_an_hour(self):
        name = "openhands-runtime-a-svc"
        for notes, call in (
            ({}, "PATCH"), (unused(0.5), "PATCH"), (unused(1.1), "DELETE"),
            (unused(5, seen_hours=3), "PATCH"),  # nobody has looked for two hours: the time begins anew
            ({cleanup.SINCE: "yesterday", cleanup.SEEN: "today"}, "PATCH"),
            (unused(-5), "PATCH"),  # from the future
        ):
            self.assertEqual(self.run_on(self.of("services", "a", notes), answers=[cleanup.STOPPED]), [(call, name)], notes)

    def test_what_an_agent_uses_loses_its_notes(self):
        self.assertEqual(self.run_on(self.of("pods", "a", unused(5)), answers=[cleanup.WORKS]), [("PATCH", "openhands-runtime-a")])
        self.assertEqual(self.run_on(self.of("pods"), answers=[cleanup.WORKS]), [])

    def test_the_server_is_asked_again_right_before(self):
        self.assertEqual(self.run_on(self.of("pods", "a", unused(5)), answers=[cleanup.STOPPED, cleanup.WORKS]), [])

    def test_what_the_server_does_not_answer_about_is_left_alone_and_reported(self):
        self.assertEqual(self.run_on(self.of("pods", "a", unused(5)), answers=[cleanup.SILENT]), [])
        self.assertEqual(self.code, 1)

    def test_a_volume_stays_for_days_and_while_it_has_a_pod(self):
        name, days = "openhands-runtime-a-pvc", 31 * 24
        volume = self.of("persistentvolumeclaims", "a", unused(days))
        self.assertEqual(self.run_on(volume, answers=[cleanup.STOPPED]), [("DELETE", name)])
        self.assertEqual(self.run_on(self.of("persistentvolumeclaims", "a", unused(29 * 24)), answers=[cleanup.STOPPED]), [("PATCH", name)])
        self.assertEqual(self.run_on(volume, answers=[cleanup.STOPPED], cluster=Cluster(pods=["a"])), [], "its pod came back right before")
        self.assertEqual(self.run_on(volume, answers=[cleanup.STOPPED], keep_days="0"), [("PATCH", name)], "kept for ever")
        with_pod = self.run_on(volume, self.of("pods", phase="Running"), answers=[cleanup.STOPPED])
        self.assertIn(("PATCH", name), with_pod)
        self.assertNotIn(("DELETE", name), with_pod)

    def test_a_conversation_that_the_server_does_not_know_keeps_everything_for_days(self):
        self.assertEqual(self.run_on(self.of("pods", "a", unused(5)), answers=[cleanup.UNKNOWN]), [("PATCH", "openhands-runtime-a")])

    def test_foreign_names_and_what_goes_already_are_left_alone(self):
        going = item("pods", phase="Failed")
        going["metadata"]["deletionTimestamp"] = NOW.isoformat()
        foreign = item("pods", phase="Failed")
        foreign["metadata"]["name"] = "openhands-warm-1"
        self.assertEqual(self.run_on(("pods", going), ("pods", foreign)), [])

    def test_one_object_does_not_keep_the_others(self):
        calls = self.run_on(self.of("pods", "a", unused(5)), self.of("pods", "b", unused(5)), answers=[cleanup.STOPPED], cluster=Cluster({"openhands-runtime-a": 500}))
        self.assertEqual(calls, [("DELETE", "openhands-runtime-a"), ("DELETE", "openhands-runtime-b")])
        self.assertEqual(self.code, 1)


if __name__ == "__main__":
    unittest.main()
