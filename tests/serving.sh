# A development hub for scripts that ask it from outside; source it, then call `serve HUB`. It stops with the script.
# shellcheck shell=bash

# serve HUB: starts one in a folder of its own, and sets $work, $certs, $address (host:port).
serve() {
  work=$(mktemp -d)
  trap stop_serving EXIT
  cat >"$work/hub.toml" <<TOML
data_dir = "$work/d"
[grpc]
listen = "127.0.0.1:0"
[log]
partitions = 4
access_partitions = 1
segment_bytes = 4194304
TOML
  "$1" serve --config "$work/hub.toml" --dev-certs --json >"$work/serve.json" 2>"$work/serve.log" &
  serving=$!
  for _ in $(seq 600); do
    [ ! -s "$work/serve.json" ] || break
    kill -0 "$serving" 2>/dev/null || { cat "$work/serve.log" >&2; return 1; }
    sleep 0.1
  done
  address=$(sed -n 's|.*"address":"\([^"]*\)".*|\1|p' "$work/serve.json")
  # shellcheck disable=SC2034
  certs="$work/d/dev-certs"
}

stop_serving() {
  if [ -n "${serving:-}" ]; then
    kill "$serving" 2>/dev/null || true
    wait "$serving" || true
  fi
  rm -rf "$work"
}

# folded HUB: waits until everything that was published is folded.
folded() {
  for _ in $(seq 300); do
    "$1" status --config "$work/hub.toml" --endpoint "https://$address" --json | grep -q '"behind": *0[,}]' && return
    sleep 0.1
  done
  echo "the hub does not fold" >&2
  return 1
}
