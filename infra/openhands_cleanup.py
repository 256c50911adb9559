"""Removes what a crash or a restart of OpenHands leaves in the namespace of its sandboxes.

The server forgets its conversations when it stops, and nothing else deletes their pods, Services and Ingresses: they fill the quota, and a Service that
is left without its pod keeps a conversation from ever starting again. An object is deleted when the server has said for a while that no agent works on
its conversation; the first time is noted on the object. A volume holds somebody's files: it goes only after days without a pod and without an agent.
Whatever the server does not answer about is left alone.

Only the standard library is used, so that the script runs in any image with Python.
"""

import datetime
import json
import os
import ssl
import sys
import urllib.error
import urllib.request

ANNOTATION = "openhands.dev/agent-gone-since"
PREFIX = "openhands-runtime-"
# How the Kubernetes runtime names what it makes for a conversation. The longer suffix first.
KINDS = {
    "pods": ("/api/v1", [""]),
    "services": ("/api/v1", ["-svc-code", "-svc"]),
    "ingresses": ("/apis/networking.k8s.io/v1", ["-ingress-code"]),
    "persistentvolumeclaims": ("/api/v1", ["-pvc"]),
}


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
        path = "%s/namespaces/%s/%s" % (KINDS[kind][0], self.namespace, kind)
        request = urllib.request.Request(self.base + path + ("/" + name if name else ""), method=method)
        request.add_header("Authorization", "Bearer " + self.token)
        request.add_header("Content-Type", "application/merge-patch+json" if method == "PATCH" else "application/json")
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(request, data, timeout=30, context=self.tls) as response:
            return json.load(response)


def agent_works_on(session):
    """Asks the server. None where it does not say."""
    try:
        with urllib.request.urlopen("%s/api/conversations/%s" % (os.environ["SERVER_URL"], session), timeout=30) as response:
            conversation = json.load(response)
    except (OSError, ValueError) as error:
        log("WARNING", "the server does not say whether an agent works on a conversation; it is left alone", session=session, error=str(error))
        return None
    if conversation is None:  # deleted, or never finished starting
        return False
    if not isinstance(conversation, dict) or "status" not in conversation:
        return None
    return conversation["status"] != "STOPPED" or bool(conversation.get("num_connections"))


def session_of(kind, name):
    """Takes the conversation's id out of an object's name. None where the name is not one of the runtime's."""
    if not name.startswith(PREFIX):
        return None
    for suffix in KINDS[kind][1]:
        if name.endswith(suffix):
            return name[len(PREFIX):len(name) - len(suffix)] or None
    return None


def consider(cluster, kind, item, unused, keep):
    """Notes since when an object is unused, takes the note off one that is used again, and deletes one that was unused for long enough."""
    metadata = item["metadata"]
    now = datetime.datetime.now(datetime.timezone.utc)
    since = metadata.get("annotations", {}).get(ANNOTATION)
    name, version = metadata["name"], metadata["resourceVersion"]
    if not unused:
        if since:
            cluster.call("PATCH", kind, name, {"metadata": {"resourceVersion": version, "annotations": {ANNOTATION: None}}})
        return
    try:
        waited = now - datetime.datetime.fromisoformat(since) if since else None
    except ValueError:  # not our note
        waited = None
    if waited is None:
        cluster.call("PATCH", kind, name, {"metadata": {"resourceVersion": version, "annotations": {ANNOTATION: now.isoformat()}}})
    elif waited >= keep:
        # Of an object that changed in between, nothing is known any more: the API server refuses.
        cluster.call("DELETE", kind, name, {"preconditions": {"uid": metadata["uid"], "resourceVersion": version}})
        log("INFO", "deleted what no agent used any more", kind=kind, name=name, since=since)


def main():
    cluster = Cluster()
    keep = datetime.timedelta(minutes=float(os.environ["KEEP_MINUTES"]))
    keep_volumes = datetime.timedelta(days=float(os.environ["KEEP_VOLUME_DAYS"]))
    # First what there is, then who uses it: what comes in between is not in the list.
    items = {kind: cluster.call("GET", kind)["items"] for kind in KINDS}
    with_pod = {session_of("pods", item["metadata"]["name"]) for item in items["pods"]}
    works, failed = {}, False
    for kind in KINDS:
        if kind == "persistentvolumeclaims" and not keep_volumes:
            continue
        for item in items[kind]:
            name = item["metadata"]["name"]
            session = session_of(kind, name)
            if session is None or "deletionTimestamp" in item["metadata"]:
                continue
            if session not in works:
                works[session] = agent_works_on(session)
            if works[session] is None:
                failed = True
                continue
            volume = kind == "persistentvolumeclaims"
            unused = not works[session] and not (volume and session in with_pod)
            try:
                consider(cluster, kind, item, unused, keep_volumes if volume else keep)
            except urllib.error.HTTPError as error:
                if error.code not in (404, 409):  # gone, or changed: the next run looks again
                    log("ERROR", "the API server refused", kind=kind, name=name, status=error.code)
                    failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
