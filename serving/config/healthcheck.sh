#!/usr/bin/env bash
# Healthy when every model has a version that can be asked: the image has no curl, and its gRPC
# health says that the server runs, not that models are loaded.
# MODELS: names with spaces between them; else those in models.config.
set -euo pipefail

config=/models/models.config
# Entries may stand on one line; comments do not count.
listed() {
    sed -E 's/(^|[[:space:]])#.*//' "$config" |
        grep -oE '(^|[[:space:]{])name:[[:space:]]*"[^"]+"' | cut -d'"' -f2
}
names=${MODELS:-$(listed)}
test -n "$names"
for name in $names; do
    exec 3<>/dev/tcp/127.0.0.1/8501
    printf 'GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$name" >&3
    grep -q '"state": *"AVAILABLE"' <&3
    exec 3>&-
done
