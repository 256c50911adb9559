"""Removes what a crash or a restart of OpenHands leaves in the namespace of its sandboxes.

The server forgets its conversations when it stops, and nothing else deletes their pods, Services and Ingresses: they fill the quota, and a Service that
is left without its pod keeps a conversation from ever starting again.

An object is deleted when every run for a while has found that no agent works on its conversation. Two notes on the object say since when, and when that
was seen last: after a pause in which nobody looked, the time begins anew. A volume holds somebody's files: it goes only after days without a pod and
without an agent, and so does everything of a conversation that the server does not know. What the server does not answer about is left alone.

A pod that has ended (evicted, preempted, lost with its node) keeps its conversation's name, and the server waits for it in vain whenever somebody continues the
conversation. It goes at once with its Services and its Ingress, whatever the server says. The volume stays.

Only the standard library is used, so that the script runs in any image with Python.
"""

import datetime
import json
import os
import ssl
import sys
import urllib.error
import urllib.request

SINCE = "openhands.dev/unused-since"
SEEN = "openhands.dev/unused-seen"
# For how long nobody may have looked. Several runs fit into it.
BLIND = datetime.timedelta(hours=2)
PREFIX = "openhands-runtime-"
# How the Kubernetes runtime names what it makes for a conversation. The longer suffix first.
KINDS = {
    "pods": [""],
    "services": ["-svc-code", "-svc"],
    "ingresses": ["-ingress-code"],
    "persistentvolumeclaims": ["-pvc"],
}
VOLUMES = "persistentvolumeclaims"
# Where the API server has them, where that is not /api/v1.
GROUPS = {"ingresses": "/apis/networking.k8s.io/v1", "statefulsets": "/apis/apps/v1"}

# What the server says of a conversation.
WORKS, STOPPED, UNKNOWN, SILENT = "an agent works on it", "no agent works on it", "the server does not know it", "the server does not say"


def log(severity, message, **fields):
    print(json.dumps({"severity": severity, "message": message, **fields}), flush=True)


class Cluster:
    """The API server, as the pod's service account."""

    def __init__(self):
        account = os.environ.get("SERVICE_ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount")
        self.namespace = os.environ["SANDBOX_NAMESPACE"]
        self.base = "https://%s:%s" % (os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
        self.tls = ssl.create_default_context(cafile=os.path.join(account, "ca.crt"))
        with open(os.path.join(account, "token")) as file:
            self.token = file.read().strip()

    def call(self, method, kind, name="", body=None):
        path = "%s/namespaces/%s/%s" % (GROUPS.get(kind, "/api/v1"), self.namespace, kind)
        request = urllib.request.Request(self.base + path + ("/" + name if name else ""), method=method)
        request.add_header("Authorization", "Bearer " + self.token)
        request.add_header("Content-Type", "application/merge-patch+json" if method == "PATCH" else "application/json")
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(request, data, timeout=30, context=self.tls) as response:
            return json.load(response)

    def has_pod(self, session):
        try:
            self.call("GET", "pods", PREFIX + session)
            return True
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise


def ask(session):
    """Asks the server about a conversation."""
    try:
        with urllib.request.urlopen("%s/api/conversations/%s" % (os.environ["SERVER_URL"], session), timeout=30) as response:
            conversation = json.load(response)
    except Exception as error:  # whatever it is, it is no answer
        log("WARNING", "the server does not say whether an agent works on a conversation; it is left alone", session=session, error=str(error))
        return SILENT
    if conversation is None:  # deleted, or its record cannot be read: an agent may still be at work
        return UNKNOWN
    if not isinstance(conversation, dict) or "status" not in conversation:
        return SILENT
    return STOPPED if conversation["status"] == "STOPPED" and not conversation.get("num_connections") else WORKS


def session_of(kind, name):
    """Takes the conversation's id out of an object's name. None where the name is not one of the runtime's."""
    if not name.startswith(PREFIX):
        return None
    for suffix in KINDS[kind]:
        if name.endswith(suffix):
            return name[len(PREFIX):len(name) - len(suffix)] or None
    return None


def time_of(note, now):
    """Reads a note. None where it is none of ours, or from the future."""
    try:
        time = datetime.datetime.fromisoformat(note)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo is not None and time <= now else None


def end_of(pod):
    """Says why a pod has ended. None where it has not."""
    status = pod.get("status", {})
    if status.get("phase") not in ("Failed", "Succeeded"):
        return None
    why = [status["phase"]] + [status[field] for field in ("reason", "message") if status.get(field)]
    for container in status.get("containerStatuses", []):
        ended = container.get("state", {}).get("terminated")
        if ended:
            why.append("%s: %s, exit code %s" % (container.get("name"), ended.get("reason", "terminated"), ended.get("exitCode")))
    return "; ".join(why)


class Run:
    def __init__(self, cluster, items):
        self.cluster = cluster
        self.items = items
        pods = [item for item in items["pods"] if "deletionTimestamp" not in item["metadata"]]
        self.with_pod = {session_of("pods", item["metadata"]["name"]) for item in items["pods"]}
        self.ended = {session_of("pods", pod["metadata"]["name"]): end_of(pod) for pod in pods if end_of(pod)}
        self.now = datetime.datetime.now(datetime.timezone.utc)
        self.keep = datetime.timedelta(minutes=float(os.environ["KEEP_MINUTES"]))
        self.keep_volumes = datetime.timedelta(days=float(os.environ["KEEP_VOLUME_DAYS"])) or None  # None keeps them for ever
        self.answers = {}

    def answer(self, session):
        if session not in self.answers:
            self.answers[session] = ask(session)
        return self.answers[session]

    def consider(self, kind, item):
        """Notes that an object is unused, takes the notes off one that is used again, and deletes one that was unused for long enough, or whose pod has ended."""
        metadata = item["metadata"]
        name = metadata["name"]
        session = session_of(kind, name)
        if session is None or "deletionTimestamp" in metadata:
            return
        if session in self.ended and kind != VOLUMES:
            ended = self.ended.pop(session)
            self.delete(kind, metadata)
            self.ended[session] = ended  # the pod was there until now, so Services and Ingress are not those of a newer one
            log("WARNING", "deleted what is left of a sandbox that has ended", kind=kind, name=name, ended=ended)
            return
        answer = self.answer(session)
        if answer == SILENT:
            return
        notes = metadata.get("annotations", {})
        if answer == WORKS or (kind == VOLUMES and session in self.with_pod):
            if SINCE in notes or SEEN in notes:
                self.annotate(kind, metadata, None, None)
            return
        since, seen = time_of(notes.get(SINCE), self.now), time_of(notes.get(SEEN), self.now)
        if since is None or seen is None or self.now - seen > BLIND:
            since = None
        keep = self.keep_volumes if kind == VOLUMES or answer == UNKNOWN else self.keep
        if since is None or keep is None or self.now - since < keep:
            self.annotate(kind, metadata, since or self.now, self.now)
            return
        # Once more, right before: somebody may have come back during this run.
        if ask(session) != answer or (kind == VOLUMES and self.cluster.has_pod(session)):
            return
        self.delete(kind, metadata)
        log("INFO", "deleted what no agent used any more", kind=kind, name=name, since=since.isoformat())

    def delete(self, kind, metadata):
        """Deletes an object as it was listed. Of one that has changed since, nothing is known any more: the API server refuses."""
        preconditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        self.cluster.call("DELETE", kind, metadata["name"], {"preconditions": preconditions})

    def all(self):
        """Considers everything. Returns the exit code: 1 where something was left alone that should not have been."""
        failed = False
        for kind in KINDS:
            for item in self.items[kind]:
                try:
                    self.consider(kind, item)
                except Exception as error:  # one object must not keep the others
                    if isinstance(error, urllib.error.HTTPError) and error.code in (404, 409):
                        continue  # gone, or changed: the next run looks again
                    failed = True
                    log("ERROR", "an object is left alone", kind=kind, name=item["metadata"]["name"], error=str(error))
        if self.answers and all(answer == SILENT for answer in self.answers.values()):
            failed = True
            log("ERROR", "the server answers about no conversation: nothing was touched")
        return 1 if failed else 0

    def annotate(self, kind, metadata, since, seen):
        notes = {SINCE: since and since.isoformat(), SEEN: seen and seen.isoformat()}
        self.cluster.call("PATCH", kind, metadata["name"], {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": notes}})


def main():
    cluster = Cluster()
    # First what there is, then who uses it: what comes in between is not in the list.
    return Run(cluster, {kind: cluster.call("GET", kind)["items"] for kind in KINDS}).all()


if __name__ == "__main__":
    sys.exit(main())
