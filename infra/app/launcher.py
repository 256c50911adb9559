"""Starts the server of OpenHands.

The image's own start command leaves five things to luck, and this file does them first, in this order:

1. every line of the log is JSON with the severity that Cloud Logging reads;
2. a stop signal ends the process at once where the release would delete a conversation's volume on it;
3. modules that the release has to know before it reads its configuration are imported;
4. the ways through the server that guard.py, beside this file, closes are closed;
5. the database's user gives up what the application does not need, and the database is migrated, by one server at a time, and past the migrations that
   fail on PostgreSQL.

What differs by release is in release.json beside this file, which the program writes from its table of releases:

  imports           modules to import before the server
  migrations        by revision: "before" is SQL that runs before the migration, "instead" is SQL that runs in its place
  stopsAtOnce       whether a stop signal ends the process at once
  keepAliveSeconds  for how long an idle connection stays open
  hosts             names by which the server is called
  probes            paths that the kubelet and the door ask, under whatever name

Nothing of the application is copied or changed on disk: the migrations, the settings and the server are the image's.
"""

import functools
import importlib
import json
import logging
import os
import pathlib
import re
import signal
import socket
import sys
import threading
import time

import guard

log = logging.getLogger("launcher")

# A start gives up after this time and ends, and Kubernetes starts the container again. The startup probe allows five minutes for all of it.
PATIENCE_SECONDS = 120
PAUSE_SECONDS = 3
# Any number, as long as every release takes the same one.
LOCK = 4_062_001_900

# Answers of PostgreSQL that waiting does not change, by SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
FINAL = {
    "28P01": "it refuses the password",
    "28000": "it refuses the user, or a connection without TLS",
    "3D000": "it has no such database",
    "42501": "the user lacks a privilege",
}


class Refused(Exception):
    """A start that cannot succeed, with a message for people."""


def main():
    release = json.loads(pathlib.Path(__file__).with_name("release.json").read_text())
    write_logs_as_json()
    if release.get("stopsAtOnce"):
        stop_at_once()
    try:
        for module in release.get("imports", []):
            importlib.import_module(module)
        guard.keep_secrets()
        guard.limit_archives()
        prepare_database(release.get("migrations", {}))
    except Refused as refusal:
        log.critical("%s", refusal)
        sys.exit(1)
    serve(release["keepAliveSeconds"], release["hosts"], release["probes"])


class Printed:
    """A stream that makes a line of the log out of every line that is printed to it. Lines that are JSON already pass as they are."""

    COLOUR = re.compile(r"\x1b\[[0-9;]*m")

    def __init__(self, stream, severity):
        self.stream, self.severity, self.rest, self.lock = stream, severity, "", threading.RLock()

    def write(self, text):
        with self.lock:
            *lines, self.rest = (self.rest + text).split("\n")
            for line in lines:
                if line.startswith("{"):
                    self.stream.write(line + "\n")
                elif line.strip():
                    self.stream.write(json.dumps({"message": self.COLOUR.sub("", line), "severity": self.severity, "name": "printed"}) + "\n")
            self.stream.flush()
        return len(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def write_logs_as_json():
    """Gives every logger, warning, uncaught exception and printed line one form. The application adds no handler to a root logger that has one."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler(sys.stdout)
    sys.stdout, sys.stderr = Printed(sys.stdout, "INFO"), Printed(sys.stderr, "WARNING")
    handler.setFormatter(JsonFormatter("{message}{levelname}{name}", style="{", rename_fields={"levelname": "severity"}, timestamp=True))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda *exception: log.critical("uncaught exception", exc_info=exception)
    threading.excepthook = lambda failed: log.error("uncaught exception in thread %s", failed.thread, exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback))


def stop_at_once():
    """Takes the stop signals before any handler of the application's sees them.

    The Kubernetes runtime of 0.62 registers one that deletes the pod and the volume of the process's first conversation. The signals are blocked in
    every thread, as threads inherit the mask, and one thread waits for them.
    """
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def wait():
        received = signal.sigwait(signals)
        log.info("%s: the server ends. Conversations continue where their events end", signal.Signals(received).name)
        os._exit(0)

    threading.Thread(target=wait, name="stop", daemon=True).start()


def prepare_database(migrations):
    """Brings the database to the release's last revision, one server at a time. It is safe at every start: it does only what is left to do."""
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.script.revision import ResolutionError
    from alembic.util.exc import CommandError
    import openhands.app_server.app_lifespan.oss_app_lifespan_service as lifespan
    from openhands.app_server.config import get_global_config

    config = Config()
    config.set_main_option("script_location", str(pathlib.Path(lifespan.__file__).with_name("alembic")))
    script = ScriptDirectory.from_config(config)
    connection = connect(get_global_config().db_session)
    try:
        lock(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        try:
            left = list(reversed(list(script.iterate_revisions("head", current or "base"))))
        except (CommandError, ResolutionError) as unknown:
            raise Refused(
                f"the database is at revision {current}, which this release of OpenHands does not know: a newer one has migrated it, and there is no way back. "
                "Run that release (openhands:app.release), or restore a backup from before it"
            ) from unknown
        give_up_privileges(connection)
        for revision in left:
            by_hand = migrations.get(revision.revision, {})
            if "before" in by_hand:
                connection.exec_driver_sql(by_hand["before"])
            if "instead" in by_hand:
                connection.exec_driver_sql(by_hand["instead"])
                command.stamp(config, revision.revision)
            else:
                command.upgrade(config, revision.revision)
        log.info("the database is at revision %s, after %d migrations", script.get_current_head(), len(left))
    finally:
        connection.close()


# One statement: all of it takes effect, or nothing.
GIVE_UP = """DO $$
DECLARE
    own oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
    other name;
BEGIN
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA public TO %I', current_user);
    FOR other IN SELECT rolname FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = roleid WHERE member = own LOOP
        EXECUTE format('REVOKE %I FROM %I', other, current_user);
    END LOOP;
    EXECUTE format('ALTER ROLE %I NOCREATEROLE NOCREATEDB', current_user);
END $$"""


def give_up_privileges(connection):
    """Leaves the database's user what the application needs: to create its tables and use them.

    Cloud SQL's API makes every user a member of cloudsqlsuperuser, who creates users and databases, and extensions that open connections to elsewhere. What is
    given up stays so. PostgreSQL 16 lets no user take from itself what another gave it.
    """
    from sqlalchemy.exc import DBAPIError

    more = connection.exec_driver_sql(
        "SELECT rolcreaterole OR rolcreatedb OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid) FROM pg_roles WHERE rolname = current_user"
    ).scalar()
    if not more:
        return
    try:
        connection.exec_driver_sql(GIVE_UP)
        log.info("the database's user has given up what the application does not need")
    except DBAPIError as failure:
        log.warning("the database's user may do more than the application needs, and cannot give it up: %s", explain(failure)[1])


def connect(database):
    """Returns a connection of its own, on which each statement takes effect by itself. It waits for a database that is away."""
    from sqlalchemy.exc import DBAPIError

    where = f"database {database.name} at {database.host}:{database.port}, user {database.user}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            # The driver has no time limit of its own for an address that does not answer.
            socket.create_connection((database.host, database.port), timeout=PAUSE_SECONDS).close()
            connection = database.get_db_engine().connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # closed at the end, and the lock with it, in place of going back to the pool
            return connection
        except (OSError, DBAPIError) as failure:
            state, reason = explain(failure)
            if state in FINAL:
                raise Refused(f"{where}: {FINAL[state]} ({reason})") from failure
            if time.monotonic() > deadline:
                raise Refused(
                    f"{where} has not answered for {PATIENCE_SECONDS} seconds ({reason}). Is the instance running, is this its private address, and does a "
                    "NetworkPolicy let the server reach it? The server starts again, and goes on by itself when the database is back"
                ) from failure
            log.warning("%s does not answer (%s): trying again", where, reason)
            time.sleep(PAUSE_SECONDS)


def explain(failure):
    """Returns PostgreSQL's SQLSTATE, if it gave one, and a reason of one line. pg8000 has the server's fields in a dictionary."""
    original = getattr(failure, "orig", None) or failure
    fields = original.args[0] if original.args and isinstance(original.args[0], dict) else {}
    return fields.get("C"), fields.get("M") or str(original)


def lock(connection):
    """Waits until no other server migrates. A server that is gone without a word loses the lock after half a minute."""
    for setting in "tcp_keepalives_idle = 10", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 2":
        connection.exec_driver_sql("SET " + setting)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK})").scalar():
        if time.monotonic() > deadline:
            raise Refused(f"another server has been migrating the database for {PATIENCE_SECONDS} seconds: this one starts again")
        log.info("another server migrates the database: waiting")
        time.sleep(PAUSE_SECONDS)


def serve(keep_alive_seconds, hosts, probes):
    """Runs the server as "python -m openhands.server" does, behind the guard, and with two settings that OpenHands has no variable for."""
    import uvicorn
    from openhands.server.__main__ import main as run_server

    run = uvicorn.run

    @functools.wraps(run)
    def run_with_settings(app, *, log_config, **options):
        for formatter in log_config["formatters"].values():
            if formatter["()"].endswith("JsonFormatter"):
                formatter["rename_fields"] = {"levelname": "severity"}
        module, name = app.split(":")
        guarded = guard.OwnPage(getattr(importlib.import_module(module), name), hosts, probes)
        run(guarded, log_config=log_config, timeout_keep_alive=keep_alive_seconds, **options)

    uvicorn.run = run_with_settings
    run_server()


if __name__ == "__main__":
    main()
