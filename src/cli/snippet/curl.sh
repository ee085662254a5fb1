#!/bin/sh
# Posts a JSON file to the webhook "{{name}}".
# Needs curl 7.83 or newer. Run: sh post.sh [FILE]
set -eu
@secret : "${INRUSH_SECRET:?set it to the secret of the webhook}"

if [ "$#" -gt 0 ]; then
  body="@$1"
else
  body='{"hello":"world"}'
fi

# --globoff: the URL is taken as it is. --fail-with-body: exit 22 unless the event was accepted.
curl --silent --show-error --globoff --fail-with-body \
  --header 'content-type: application/json' \
@secret   --header "x-bp-secret: $INRUSH_SECRET" \
  --data-binary "$body" \
  --write-out '\n%{http_code} %header{x-event-id}\n' \
  '{{url}}'
