#!/bin/sh
# Called with the ref, the commit and who pushed it; the whole event, as one line of JSON, is on standard input.
set -eu
ref=$1 commit=$2 pusher=$3
# `when` says the same: what deploys does not trust that nobody changes it.
[ "$ref" = refs/heads/main ] || { echo "this is not the branch to deploy" >&2; exit 1; }
case $commit in
*[!0-9a-f]* | '') echo "this is no commit: $commit" >&2; exit 1 ;;
*[!0]*) ;;
*) echo "the branch was deleted, there is nothing to deploy" >&2; exit 1 ;;
esac
case $pusher in
*[![:print:]]*) echo "the name of who pushed holds a control character" >&2; exit 1 ;;
esac
# A real one would be: git fetch origin && git checkout --detach "$commit" && make install
printf 'deployed %s, pushed by %s, event %s\n' "$commit" "$pusher" "$INRUSH_EVENT_ID" >>deployed.log
