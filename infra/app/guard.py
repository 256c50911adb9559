"""Closes ways through the server that its own code leaves open. The launcher puts each in place before the server starts; tests/app walks them.

  keep_secrets      a setting must not make the server send what only the server knows: its environment, its Google identity
  limit_archives    what a sandbox sends is unpacked up to a limit
  OwnPage           only the page that this server gave out speaks to it, under a name that is the server's
"""

import logging
import os
import types
import urllib.parse
import zipfile

log = logging.getLogger("guard")

# Large enough for any folder of instructions. 522 kB of zeros, packed, are 512 MiB: unpacked and read by the server, they end everybody's conversations.
ARCHIVE_BYTES = 64 << 20
ARCHIVE_ENTRIES = 10_000


def keep_secrets():
    """Refuses settings that name a variable of the server, and Google's identity for a model that nobody asked for.

    LiteLLM takes an API key of "os.environ/NAME" as: send the value of that variable. And a model "vertex_ai/..." makes it fetch a token of the server's own
    Google identity, and send that to the base URL of the settings. Both are in the hands of everybody who may log in.
    """
    import litellm.secret_managers.main as secrets

    look_up = secrets.get_secret
    # Other modules hold the function itself, not its name: its code is what all of them call.
    secrets.guarded_look_up = types.FunctionType(look_up.__code__, secrets.__dict__, "guarded_look_up", look_up.__defaults__)
    look_up.__code__ = refuse_variables.__code__
    # Whoever wants Vertex AI by the server's identity says so by naming the project (openhands:app.extraEnv).
    if "VERTEXAI_PROJECT" not in os.environ:
        os.environ.setdefault("VERTEXAI_CREDENTIALS", "Vertex AI was not asked for")


def refuse_variables(secret_name, default_value=None):
    """Runs in the place of litellm's get_secret, and with that module's globals."""
    if secret_name.startswith("os.environ/"):
        raise ValueError("a setting must not name a variable of the server")
    return guarded_look_up(secret_name, default_value)  # noqa: F821


def limit_archives():
    """Refuses to unpack an archive that is larger than anything a repository's instructions need. The headers' sizes hold: zipfile reads no more than they say."""
    unpack = zipfile.ZipFile.extractall

    def extractall(archive, path=None, members=None, pwd=None):
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > ARCHIVE_BYTES or len(entries) > ARCHIVE_ENTRIES:
            raise ValueError(
                f"an archive of {len(entries)} files and {size >> 20} MiB is refused: the limits are {ARCHIVE_ENTRIES} files and {ARCHIVE_BYTES >> 20} MiB"
            )
        return unpack(archive, path, members, pwd)

    zipfile.ZipFile.extractall = extractall


class OwnPage:
    """An ASGI application in front of the server's.

    The server has no login of its own. With port-forward it is a page on the developer's machine that every other page in the browser can call, and that a
    name of a stranger can be pointed at. So a request has to name a host that is the server's, and the page that makes it has to be of that host.
    """

    def __init__(self, app, hosts, probes):
        self.app, self.hosts, self.probes = app, hosts, probes

    async def __call__(self, scope, receive, send):
        reason = self.refusal(scope) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            return await self.app(scope, receive, send)
        log.warning("refused %s %s: %s", scope.get("method", "WebSocket"), scope["path"], reason)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
        await send({"type": "http.response.body", "body": f"{reason}\n".encode()})

    def refusal(self, scope):
        """Returns why a request is refused, and None for one that passes."""
        # The kubelet and the door ask, the kubelet under the pod's address. What they get says nothing but that the server is up.
        if scope["path"] in self.probes and scope.get("method") == "GET":
            return None
        headers = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1").lower())
        if len(headers.get("host", [])) != 1 or len(headers.get("origin", [])) > 1:
            return "a request has one Host, and at most one Origin"
        host, origin = headers["host"][0], headers.get("origin", [None])[0]
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname
            page = origin and urllib.parse.urlsplit(origin).netloc
        except ValueError:
            return "the Host or the Origin cannot be read"
        if name not in self.hosts:
            return f"this server is not {name}: open it by one of {', '.join(self.hosts)}"
        if origin is not None and page != host:
            return "a page of another origin may not call this server"
        if headers.get("sec-fetch-site", ["none"])[0] in ("cross-site", "same-site") and not opens_page(scope, headers):
            return "a page of another site may not call this server"
        return None


def opens_page(scope, headers):
    """Says whether a person follows a link, or comes back from the login: the answer is shown, and the page that led here does not see it."""
    return scope.get("method") == "GET" and headers.get("sec-fetch-mode") == ["navigate"] and headers.get("sec-fetch-dest") == ["document"]
