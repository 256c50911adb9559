"""Deletes the volumes of instances of Agent Canvas that are no longer there, after some days.

A volume holds somebody's work, and the key that the secrets in it are encrypted with: taking an instance off a list must not lose it. And it is billed, so
that it must not stay unseen for ever. An instance that is there has a StatefulSet of the volume's name, also while it sleeps. The rules of the notes are
those of cleanup.py.
"""

import datetime
import os
import sys
import urllib.error

from cleanup import BLIND, SEEN, SINCE, VOLUMES, Cluster, log, time_of

LABEL = "openhands.dev/instance"


def annotate(cluster, metadata, since, seen):
    notes = {SINCE: since and since.isoformat(), SEEN: seen and seen.isoformat()}
    cluster.call("PATCH", VOLUMES, metadata["name"], {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": notes}})


def exists(cluster, name):
    try:
        cluster.call("GET", "statefulsets", name)
        return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise


def consider(cluster, volume, now, keep):
    """Notes that a volume has no instance, takes the notes off one that has, and deletes one that had none for long enough."""
    metadata = volume["metadata"]
    name, notes = metadata["name"], metadata.get("annotations", {})
    if LABEL not in metadata.get("labels", {}) or "deletionTimestamp" in metadata:
        return
    if exists(cluster, name):
        if SINCE in notes or SEEN in notes:
            annotate(cluster, metadata, None, None)
        return
    since, seen = time_of(notes.get(SINCE), now), time_of(notes.get(SEEN), now)
    if since is None or seen is None or now - seen > BLIND:
        since = now
    size = volume.get("spec", {}).get("resources", {}).get("requests", {}).get("storage")
    if keep is None or now - since < keep:
        annotate(cluster, metadata, since, now)
        ends = (since + keep).isoformat() if keep is not None else "never"
        log("NOTICE", "the volume of an instance that is no longer there is kept, and billed", volume=name, size=size, since=since.isoformat(), deleted=ends)
        return
    if exists(cluster, name):  # once more, right before: it may have come back during this run
        return
    cluster.call("DELETE", VOLUMES, name, {"preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}})
    log("WARNING", "deleted the volume of an instance that was gone for long enough", volume=name, size=size, since=since.isoformat())


def run(cluster, now, keep):
    """Considers all volumes. Returns the exit code: 1 where one was left alone that should not have been."""
    failed = False
    for volume in cluster.call("GET", VOLUMES)["items"]:
        try:
            consider(cluster, volume, now, keep)
        except Exception as error:  # one volume must not keep the others
            if isinstance(error, urllib.error.HTTPError) and error.code in (404, 409):
                continue  # gone, or changed: the next run looks again
            failed = True
            log("ERROR", "a volume is left alone", volume=volume["metadata"]["name"], error=str(error))
    return 1 if failed else 0


def main():
    keep = datetime.timedelta(days=float(os.environ["KEEP_VOLUME_DAYS"])) or None  # None keeps them for ever
    return run(Cluster(), datetime.datetime.now(datetime.timezone.utc), keep)


if __name__ == "__main__":
    sys.exit(main())
