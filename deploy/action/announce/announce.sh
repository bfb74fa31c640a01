#!/bin/sh
# The script of the Action (action.yml): announces an image to windlass. It reads the variables INPUT_…, GITHUB_OUTPUT and
# GITHUB_STEP_SUMMARY, and needs curl and jq.
#
# - An event may be sent again: windlass stores the same image once. So it is tried again while windlass or a proxy in
#   front of it is away.
# - 202 means that the event is stored and its outcome is not known yet: then the status address is asked.
# - Exit code: 0 announced, also where some stages cannot take the image; 1 refused, with windlass's words; 2 the inputs are
#   wrong, or windlass cannot be reached.
set -eu

summary=${GITHUB_STEP_SUMMARY:-/dev/null}
output=${GITHUB_OUTPUT:-/dev/null}
umask 077
work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/windlass.XXXXXX")
trap 'rm -rf "$work"' EXIT

main() {
  check
  announce
  follow
  tell
}

# A message as one line of a workflow command.
note() {
  printf '::%s::%s\n' "$1" "$(printf %s "$2" | sed 's/%/%25/g' | tr '\r\n' '  ')"
}

fail() {
  note error "$2"
  printf '### windlass\n\n> [!CAUTION]\n> The image was not announced: %s\n' "$(printf %s "$2" | tr '\r\n' '  ')" >> "$summary"
  exit "$1"
}

check() {
  for input in url image digest tag commit source; do
    name=INPUT_$(printf %s "$input" | tr '[:lower:]' '[:upper:]')
    eval "value=\${$name:-}"
    # shellcheck disable=SC2154 # eval sets it
    [ -n "$value" ] || fail 2 "\`$input\` is empty"
  done
  url=${INPUT_URL%/}
  case $url in
    https://* | http://127.0.0.1 | http://127.0.0.1[:/]* | http://localhost | http://localhost[:/]*) ;;
    *) fail 2 "\`url\`: $url is not https: the token would travel in the clear" ;;
  esac
  printf %s "$INPUT_DIGEST" | grep -Eqx 'sha256:[0-9a-f]{64}' || fail 2 "\`digest\`: $INPUT_DIGEST is not sha256: and 64 hex digits; docker/build-push-action has it as its output \`digest\`"
  printf %s "$INPUT_COMMIT" | grep -Eqx '[0-9a-f]{40}' || fail 2 "\`commit\`: $INPUT_COMMIT has not 40 hex digits"
  token=${INPUT_TOKEN:-}
  [ -n "$token" ] || sign
  printf 'Authorization: Bearer %s\nContent-Type: application/json\nUser-Agent: windlass-action\n' "$token" > "$work/headers"
  jq -n --arg image "$INPUT_IMAGE" --arg digest "$INPUT_DIGEST" --arg tag "$INPUT_TAG" --arg commit "$INPUT_COMMIT" --arg source "$INPUT_SOURCE" \
    '{image: $image, digest: $digest, tag: $tag, commit: $commit, source: $source}' > "$work/event"
}

# A token of GitHub's for this job, in $token.
sign() {
  if [ -z "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] || [ -z "${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}" ]; then
    fail 2 "there is no \`token\`, and GitHub gives this job none: add \`permissions: { id-token: write }\` to the job"
  fi
  printf 'Authorization: Bearer %s\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" > "$work/github"
  audience=$(jq -rn --arg audience "${INPUT_AUDIENCE:-$url}" '$audience | @uri')
  curl -sS --fail --max-time 30 --retry 3 -H "@$work/github" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$audience" > "$work/signed" 2> "$work/curl" ||
    fail 2 "GitHub gives this job no token: $(head -c 300 "$work/curl")"
  token=$(jq -r '.value // empty' "$work/signed")
  [ -n "$token" ] || fail 2 "GitHub gives this job no token"
  printf '::add-mask::%s\n' "$token"
}

# METHOD ADDRESS [FILE]: the status code is in $status, the answer in $work/answer.
ask() {
  method=$1 address=$2 file=${3:-}
  set -- -sS --max-time 60 -o "$work/answer" -w '%{http_code}' -X "$method" -H "@$work/headers"
  [ -z "$file" ] || set -- "$@" --data-binary "@$file"
  : > "$work/answer"
  status=$(curl "$@" "$address" 2> "$work/curl") || status=000
}

why() {
  if [ "$status" = 000 ]; then
    head -c 300 "$work/curl"
  else
    printf '%s %s' "$status" "$(jq -r '.error // empty' "$work/answer" 2> /dev/null | head -c 1000)"
  fi
}

announce() {
  pause=1
  while :; do
    ask POST "$url/events/image" "$work/event"
    case $status in
      000 | 429 | 5??) ;;
      *) break ;;
    esac
    [ "$pause" -lt 32 ] || fail 2 "windlass at $url cannot be reached: $(why)"
    note notice "windlass at $url is away ($(why)): trying again in $pause s"
    sleep "$pause"
    pause=$((pause * 2))
  done
  case $status in
    200 | 202 | 409) jq -c '.promotions' "$work/answer" > "$work/promotions" 2> /dev/null || fail 2 "$url is not a windlass: its answer to POST /events/image is no JSON" ;;
    401 | 403 | 404 | 422) fail 1 "$(why)" ;;
    *) fail 2 "windlass at $url answers $(why)" ;;
  esac
}

# Asks for the outcomes that were not there at once.
follow() {
  until=$(($(date +%s) + ${INPUT_WAIT:-60}))
  while waiting=$(jq -r 'first(.[] | select(.state == "Waiting") | .status_url | strings | select(startswith("/"))) // empty' "$work/promotions") && [ -n "$waiting" ] && [ "$(date +%s)" -lt "$until" ]; do
    ask GET "$url$waiting"
    if [ "$status" = 200 ] && jq -e '.state != "Waiting"' "$work/answer" > /dev/null 2>&1; then
      jq -c --arg url "$waiting" --slurpfile now "$work/answer" 'map(if .status_url == $url then $now[0] else . end)' "$work/promotions" > "$work/next"
      mv "$work/next" "$work/promotions"
    else
      sleep 2
    fi
  done
}

tell() {
  {
    printf 'promotions=%s\n' "$(cat "$work/promotions")"
    printf 'pull-request=%s\n' "$(jq -r 'first(.[].pull_request | strings) // empty' "$work/promotions" | head -n 1)"
  } >> "$output"
  # One line each, whatever a message holds.
  jq -r '.[] | "\(.application)/\(.stage): \(.state)\(if .pull_request then " \(.pull_request)" else "" end)\(if .message then ": \(.message | gsub("[\r\n]+"; " "))" else "" end)"' "$work/promotions" > "$work/lines"
  while IFS= read -r line; do
    case $line in
      *": Failed"* | *": Refused"*) note warning "$line" ;;
      *) note notice "$line" ;;
    esac
  done < "$work/lines"
  {
    # shellcheck disable=SC2016 # code in Markdown
    printf '### windlass: `%s` %s\n\n' "$INPUT_IMAGE" "$INPUT_TAG"
    sed 's/^/- /' "$work/lines"
  } >> "$summary"
  if jq -e 'length > 0 and all(.[]; .state == "Failed" or .state == "Refused")' "$work/promotions" > /dev/null; then
    note error "no stage can take the image"
    exit 1
  fi
}

main
