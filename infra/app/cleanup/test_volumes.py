"""Tests of the rules by which volumes of instances stay and go."""

import contextlib
import datetime
import io
import json
import unittest
import urllib.error

import cleanup
import volumes

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def volume(name="alice", labels=None, **notes):
    metadata = {"name": name, "uid": "uid-" + name, "resourceVersion": "7", "annotations": notes}
    metadata["labels"] = {volumes.LABEL: name} if labels is None else labels
    return {"metadata": metadata, "spec": {"resources": {"requests": {"storage": "20Gi"}}}}


def unused(days, seen_hours=0.5):
    return {cleanup.SINCE: (NOW - days * DAY).isoformat(), cleanup.SEEN: (NOW - datetime.timedelta(hours=seen_hours)).isoformat()}


class Cluster:
    """Has volumes and instances, and keeps the calls that change something."""

    def __init__(self, found, instances=(), comes_back=False, refused=None):
        self.found, self.instances, self.calls, self.comes_back, self.refused = found, list(instances), [], comes_back, refused

    def call(self, method, kind, name="", body=None):
        if method == "GET" and kind == cleanup.VOLUMES:
            return {"items": self.found}
        if method == "GET":
            if name in self.instances:
                return {}
            if self.comes_back:
                self.instances.append(name)  # right after it was looked for
            raise urllib.error.HTTPError("", 404, "not found", {}, None)
        if self.refused:
            raise urllib.error.HTTPError("", self.refused, "refused", {}, None)
        self.calls.append((method, name, body))


class Rules(unittest.TestCase):
    def run_on(self, cluster, keep=30 * DAY):
        self.printed = io.StringIO()
        with contextlib.redirect_stdout(self.printed):
            self.code = volumes.run(cluster, NOW, keep)
        return [(method, name) for method, name, _ in cluster.calls]

    def said(self):
        return [json.loads(line) for line in self.printed.getvalue().splitlines()]

    def test_the_volume_of_an_instance_that_is_there_is_left_alone(self):
        self.assertEqual(self.run_on(Cluster([volume()], ["alice"])), [])
        self.assertEqual(self.said(), [])

    def test_an_instance_that_comes_back_has_its_volume_again(self):
        cluster = Cluster([volume(**unused(29))], ["alice"])
        self.assertEqual(self.run_on(cluster), [("PATCH", "alice")])
        self.assertEqual(cluster.calls[0][2]["metadata"]["annotations"], {cleanup.SINCE: None, cleanup.SEEN: None})

    def test_a_volume_without_an_instance_is_told_of_and_goes_after_its_days(self):
        for notes, call in (
            ({}, "PATCH"), (unused(29), "PATCH"), (unused(31), "DELETE"),
            (unused(31, seen_hours=3), "PATCH"),  # nobody has looked for two hours: the time begins anew
            (unused(-1), "PATCH"),  # from the future
        ):
            self.assertEqual(self.run_on(Cluster([volume(**notes)])), [(call, "alice")], notes)
            self.assertEqual([line["severity"] for line in self.said()], ["WARNING" if call == "DELETE" else "NOTICE"])
            self.assertEqual((self.said()[0]["volume"], self.said()[0]["size"]), ("alice", "20Gi"))

    def test_the_deletion_is_of_what_was_listed(self):
        cluster = Cluster([volume(**unused(31))])
        self.run_on(cluster)
        self.assertEqual(cluster.calls[0][2], {"preconditions": {"uid": "uid-alice", "resourceVersion": "7"}})

    def test_without_an_end_it_stays_and_is_told_of(self):
        self.assertEqual(self.run_on(Cluster([volume(**unused(4000))]), keep=None), [("PATCH", "alice")])
        self.assertEqual(self.said()[0]["deleted"], "never")

    def test_an_instance_that_comes_back_during_the_run_keeps_its_volume(self):
        self.assertEqual(self.run_on(Cluster([volume(**unused(31))], comes_back=True)), [])

    def test_other_volumes_are_nobodys_business(self):
        self.assertEqual(self.run_on(Cluster([volume(labels={}, **unused(31))])), [])

    def test_one_failure_does_not_keep_the_others(self):
        for code, exit_code in ((404, 0), (409, 0), (500, 1)):
            self.run_on(Cluster([volume(), volume("bob")], refused=code))
            self.assertEqual(self.code, exit_code)


if __name__ == "__main__":
    unittest.main()
