#!/bin/sh
# The script of the Action (action.yml): installs windlass, plans a pull request, and keeps one comment in it.
#
# It reads the variables INPUT_… (action.yml says what each is) and those that GitHub gives every step: GITHUB_API_URL,
# GITHUB_REPOSITORY, GITHUB_EVENT_NAME, GITHUB_EVENT_PATH, GITHUB_OUTPUT, GITHUB_STEP_SUMMARY. It needs git, curl, jq.
#
# - The comment begins with a hidden marker. It is found again by marker and author, and edited in place. A pull request
#   that changes nothing gets none, if it has none.
# - Where the token may not write comments, the job summary has the preview, and says so.
# - What the plan prints is text from outside: it goes into files and into the log with workflow commands turned off.
# - Exit code: 0 done; 1 changes (with fail-on: changes); 2 an error.
set -eu

summary=${GITHUB_STEP_SUMMARY:-/dev/null}
output=${GITHUB_OUTPUT:-/dev/null}
event=${GITHUB_EVENT_PATH:-/dev/null}
repository=${GITHUB_REPOSITORY:-}
folder=${INPUT_REPOSITORY_PATH:-.}
author=${INPUT_COMMENT_AUTHOR:-github-actions[bot]}
key=$(printf %s "${INPUT_COMMENT_KEY:-default}" | tr -c 'A-Za-z0-9._-' -)
marker="<!-- windlass:plan $key -->"
run="${GITHUB_SERVER_URL:-https://github.com}/$repository/actions/runs/${GITHUB_RUN_ID:-0}"
umask 077
work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/windlass.XXXXXX")
markdown=$(mktemp "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/windlass-plan.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A cancelled run leaves no kubeconfig behind.
trap 'exit 130' HUP INT TERM

main() {
  number=$(of_event '.pull_request.number // empty')
  if refused_fork; then
    skip "The head of this pull request is in a fork, and this workflow has secrets (\`pull_request_target\`): it is not previewed. Set \`forks: plan\` only if you read each fork's change before the workflow runs."
  fi
  if ! has_kubeconfig; then
    if is_fork; then
      skip "The head of this pull request is in a fork, and GitHub gives no secrets to its workflows: without a kubeconfig there is no preview. Push the branch to this repository to get one."
    elif [ "${GITHUB_ACTOR:-}" = "dependabot[bot]" ]; then
      skip "GitHub gives runs of Dependabot its own secrets only: without a kubeconfig there is no preview. Add the secret to Dependabot's too to get one."
    fi
    fail "there is no kubeconfig: give \`kubeconfig\` from a secret that exists and is not empty, or \`kubeconfig-file\`"
  fi
  find_windlass
  find_revisions
  plan
  compose
  comment
  say changes "$changes"
  say exit-code "$code"
  say markdown "$markdown"
  finish
}

# --- the event ---

of_event() { if [ -s "$event" ]; then jq -r "$1" "$event"; fi; }

is_fork() {
  [ -n "$number" ] && [ "$(of_event '.pull_request.head.repo.full_name // ""')" != "$(of_event '.pull_request.base.repo.full_name // ""')" ]
}

refused_fork() {
  [ "${GITHUB_EVENT_NAME:-}" = pull_request_target ] && [ "${INPUT_FORKS:-skip}" != plan ] && is_fork
}

has_kubeconfig() {
  [ -n "${INPUT_KUBECONFIG:-}${INPUT_KUBECONFIG_FILE:-}${KUBECONFIG:-}" ] || [ -f "${HOME:-}/.kube/config" ]
}

# --- what the step says ---

say() { printf '%s=%s\n' "$1" "$2" >> "$output"; }

# A message as one line of a workflow command.
note() {
  printf '::%s::%s\n' "$1" "$(printf %s "$2" | sed 's/%/%25/g' | tr '\r\n' '  ')"
}

fail() {
  note error "$1"
  printf '### windlass plan\n\n> [!CAUTION]\n> %s\n' "$1" >> "$summary"
  say changes unknown
  say exit-code 2
  exit 2
}

# There is no plan, and nobody here can change that.
skip() {
  note warning "$1"
  printf '### windlass plan\n\n> [!NOTE]\n> %s\n' "$1" >> "$summary"
  say changes unknown
  say exit-code skipped
  exit 0
}

# A text from outside, in the log.
show() {
  word=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '::group::%s\n::stop-commands::%s\n' "$1" "$word"
  cat "$2"
  printf '\n::%s::\n::endgroup::\n' "$word"
}

# --- the program ---

find_windlass() {
  if [ -n "${INPUT_BINARY:-}" ]; then
    windlass=$(command -v "$INPUT_BINARY") || fail "\`binary\`: there is no program $INPUT_BINARY"
    return
  fi
  [ -n "${INPUT_VERSION:-}" ] || fail "give \`version\` and \`sha256\` of a release, or \`binary\`"
  [ -n "${INPUT_SHA256:-}" ] || fail "\`version\` needs \`sha256\`: the file windlass-….tar.gz.sha256 of the release has it"
  version=v${INPUT_VERSION#v}
  case "$(uname -s) $(uname -m)" in
    "Linux x86_64") name=linux-amd64 ;;
    "Linux aarch64" | "Linux arm64") name=linux-arm64 ;;
    *) fail "releases have no windlass for $(uname -s) on $(uname -m): build one, and name it with \`binary\`" ;;
  esac
  url=${INPUT_DOWNLOAD_URL:-https://github.com/windlass-dev/windlass/releases/download}
  url=${url%/}/$version/windlass-$version-$name.tar.gz
  curl -fsSL --retry 3 --max-time 300 -o "$work/archive" "$url" || fail "cannot download $url"
  digest=$(sha256sum "$work/archive" | cut -c1-64)
  printf '%s' "$INPUT_SHA256" | tr -s ' ,\n' '\n' | grep -qix "$digest" || fail "$url has the SHA-256 $digest, which is not the one that \`sha256\` names: nothing of it was run"
  tar -xzf "$work/archive" -C "$work" ./windlass
  windlass=$work/windlass
}

# --- the revisions ---

# Of a pull request, the tip of its base branch and the head of the event, which are fetched with their history. Elsewhere
# the working copy is compared with the base of the merge group, or with the default branch.
find_revisions() {
  base=${INPUT_BASE:-}
  head=${INPUT_HEAD:-}
  # A bare repository among the files of a pull request is none: its configuration could run programs.
  git -c safe.bareRepository=explicit -C "$folder" rev-parse --git-dir > /dev/null 2>&1 || fail "$folder is not a git repository: check it out first (actions/checkout)"
  if [ -z "$number" ]; then
    [ -n "$base" ] || base=$(of_event '.merge_group.base_sha // (.repository.default_branch | strings | "refs/remotes/origin/" + .) // empty')
    if ! git -C "$folder" rev-parse --quiet --verify "$base^{commit}" > /dev/null; then base=; fi
    return
  fi
  branch=$(of_event '.pull_request.base.ref')
  # The full name: a tag named origin/BRANCH would be found before the branch.
  [ -n "$base" ] || base=refs/remotes/origin/$branch
  [ -n "$head" ] || head=$(of_event '.pull_request.head.sha')
  unshallow=
  if [ "$(git -C "$folder" rev-parse --is-shallow-repository)" = true ]; then unshallow=--unshallow; fi
  # shellcheck disable=SC2086 # no word if it is empty
  with_credentials git -C "$folder" fetch --quiet --no-tags --no-recurse-submodules $unshallow origin "+refs/heads/$branch:refs/remotes/origin/$branch" "+refs/pull/$number/head:refs/windlass/pull/$number" 2> "$work/fetch" || {
    show "git fetch" "$work/fetch"
    note warning "the newest commits could not be fetched: the preview uses those that are checked out"
  }
  for revision in "$base" "$head"; do
    git -C "$folder" rev-parse --quiet --verify "$revision^{commit}" > /dev/null || fail "the commit $revision is not there: use actions/checkout with \`fetch-depth: 0\`"
  done
}

# Git with the token, where actions/checkout left none.
with_credentials() {
  server=${GITHUB_SERVER_URL:-https://github.com}
  export GIT_TERMINAL_PROMPT=0
  if [ -n "${INPUT_TOKEN:-}" ] && ! git -C "$folder" config --get-regexp '^http\..*\.extraheader$' > /dev/null; then
    GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$server/.extraheader" \
      GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "$INPUT_TOKEN" | base64 | tr -d '\n')" "$@"
  else
    "$@"
  fi
}

# --- the plan ---

plan() {
  set -- plan --repo "$folder" --output markdown
  [ -z "$repository" ] || set -- "$@" --repository "$repository"
  [ -z "$base" ] || set -- "$@" "--base=$base"
  [ -z "$head" ] || set -- "$@" "--head=$head"
  if [ -n "${INPUT_KUBECONFIG:-}" ]; then
    printf '%s\n' "$INPUT_KUBECONFIG" > "$work/kubeconfig"
    # Many keep it in base64.
    if ! grep -q clusters "$work/kubeconfig" && base64 -d < "$work/kubeconfig" > "$work/decoded" 2> /dev/null; then
      mv "$work/decoded" "$work/kubeconfig"
    fi
    grep -q clusters "$work/kubeconfig" || fail "\`kubeconfig\` is not the content of a kubeconfig: it has no \`clusters\`"
    set -- "$@" --kubeconfig "$work/kubeconfig"
  elif [ -n "${INPUT_KUBECONFIG_FILE:-}" ]; then
    set -- "$@" --kubeconfig "$INPUT_KUBECONFIG_FILE"
  fi
  [ -z "${INPUT_CONTEXT:-}" ] || set -- "$@" --context "$INPUT_CONTEXT"
  [ -z "${INPUT_NAMESPACE:-}" ] || set -- "$@" --namespace "$INPUT_NAMESPACE"
  [ -z "${INPUT_PROJECTS:-}" ] || set -- "$@" --projects "$INPUT_PROJECTS"
  [ -z "${INPUT_SOURCES:-}" ] || set -- "$@" --sources "$INPUT_SOURCES"
  [ -z "${INPUT_KUSTOMIZE:-}" ] || set -- "$@" --kustomize "$INPUT_KUSTOMIZE"
  helm=${INPUT_HELM:-$(command -v helm || true)}
  [ -z "$helm" ] || set -- "$@" --helm "$helm"
  [ "${INPUT_RENDER_WITHOUT_JAIL:-false}" != true ] || set -- "$@" --render-without-jail
  # Each line of a list is an argument of its own.
  while IFS= read -r line; do
    [ -z "$line" ] || set -- "$@" --cluster "$line"
  done << EOF
${INPUT_CLUSTERS:-}
EOF
  while IFS= read -r line; do
    [ -z "$line" ] || set -- "$@" --application "$line"
  done << EOF
${INPUT_APPLICATIONS:-}
EOF
  code=0
  # The program needs no token of GitHub's.
  env -u INPUT_TOKEN -u INPUT_KUBECONFIG "$windlass" "$@" > "$work/printed" 2> "$work/errors" || code=$?
  # Nobody answers commands here: the last line does not offer one.
  # shellcheck disable=SC2016 # code in Markdown
  LC_ALL=C sed 's|^\(<sub>head .*\) · `/help`</sub>$|\1</sub>|' "$work/printed" > "$work/plan.md"
  # A message about a broken kubeconfig quotes lines of it.
  if grep -qi kubeconfig "$work/errors"; then
    sed '/^ *[0-9]* *|/d' "$work/errors" > "$work/quiet"
    mv "$work/quiet" "$work/errors"
  fi
  case $code in
    0) changes=false ;;
    1) changes=true ;;
    *) changes=unknown ;;
  esac
  show "windlass plan: exit code $code" "$work/plan.md"
  [ ! -s "$work/errors" ] || show "windlass plan: messages" "$work/errors"
}

# --- the text ---

compose() {
  if [ ! -s "$work/plan.md" ]; then
    # A fence that is longer than any in the text.
    fence=$(grep -o '`\{3,\}' "$work/errors" | sort | tail -n 1)
    fence="${fence:-\`\`}\`"
    {
      printf '> [!CAUTION]\n> There is no preview: windlass plan ended with exit code %s.\n\n%s\n' "$code" "$fence"
      tail -c 8000 "$work/errors"
      printf '\n%s\n' "$fence"
    } > "$work/plan.md"
  fi
  cp "$work/plan.md" "$markdown"
  {
    printf '%s\n' "$marker"
    cut_to 64000 "$work/plan.md" "> [!IMPORTANT]
> The preview is longer than a comment may be. All of it: [summary of the run]($run)."
    printf '\n<sub>[run](%s)</sub>\n' "$run"
  } > "$work/comment.md"
  cut_to 1000000 "$work/plan.md" "> [!IMPORTANT]
> The preview is longer than a summary may be. All of it is in the log of the run." >> "$summary"
}

# The first whole lines of a file, so many bytes at most (GitHub counts characters: 65,536 in a comment; in a summary it is
# one MiB). Blocks that the cut leaves open are closed; then comes the text of $3.
cut_to() {
  CLOSING=$3 LC_ALL=C awk -v most="$1" '
    {
      size += length($0) + 1
      if (size > most) { cut = 1; exit }
      print
      line = $0
      sub(/^[ >]*/, "", line)
      if (match(line, /^(```+|~~~+)/)) {
        run = substr(line, 1, RLENGTH)
        rest = substr(line, RLENGTH + 1)
        if (fence == "") fence = run
        else if (index(run, fence) == 1 && rest ~ /^[ \r]*$/) fence = ""
      } else if (fence == "") {
        open += gsub(/<details/, "", line) - gsub(/<\/details>/, "", line)
      }
    }
    END {
      if (!cut) exit
      if (fence != "") print fence
      while (open-- > 0) print "\n</details>"
      print "\n" ENVIRON["CLOSING"]
    }' "$2"
}

# --- the comment ---

# METHOD PATH [FILE]: the status code is in $status, the answer in $work/answer. Only what may be repeated is repeated.
ask() {
  method=$1 path=$2 file=${3:-}
  set -- -sS --max-time 60 -o "$work/answer" -w '%{http_code}' -X "$method" -H "@$work/headers"
  [ -z "$file" ] || set -- "$@" --data-binary "@$file"
  [ "$method" = POST ] || set -- "$@" --retry 3 --retry-max-time 120
  : > "$work/answer"
  status=$(curl "$@" "${GITHUB_API_URL:-https://api.github.com}$path" 2> "$work/curl") || status=000
}

why() {
  if [ "$status" = 000 ]; then
    head -c 300 "$work/curl"
  else
    printf '%s %s' "$status" "$(jq -r '.message? // empty' "$work/answer" 2> /dev/null | head -c 300)"
  fi
}

# Keeps the comment, or says why there is none.
comment() {
  if [ -z "$number" ] || [ "${INPUT_COMMENT:-true}" != true ]; then return; fi
  if [ -z "${INPUT_TOKEN:-}" ]; then
    instead "there is no \`token\`"
    return
  fi
  printf 'Authorization: Bearer %s\nAccept: application/vnd.github+json\nX-GitHub-Api-Version: 2022-11-28\nContent-Type: application/json\nUser-Agent: windlass-action\n' "$INPUT_TOKEN" > "$work/headers"
  # An older run does not write over the preview of a newer commit.
  if [ -z "${INPUT_HEAD:-}" ]; then
    ask GET "/repos/$repository/pulls/$number"
    if [ "$status" = 200 ] && [ "$(jq -r '.head.sha // empty' "$work/answer")" != "$head" ]; then
      note notice "the pull request has a newer commit than $head: its comment is left to the run for that one"
      return
    fi
  fi
  find_comment || return 0
  # Nothing changes, and nothing was said before: no comment.
  if [ -z "$found" ] && [ "$code" = 0 ]; then return; fi
  jq -Rs '{body: .}' "$work/comment.md" > "$work/body"
  if [ -n "$found" ]; then
    ask PATCH "/repos/$repository/issues/comments/$found" "$work/body"
    # Somebody deleted it just now.
    if [ "$status" = 404 ] && find_comment && [ -z "$found" ]; then
      ask POST "/repos/$repository/issues/$number/comments" "$work/body"
    fi
  else
    ask POST "/repos/$repository/issues/$number/comments" "$work/body"
  fi
  case $status in
    200 | 201) ;;
    401 | 403 | 404)
      forbidden
      return
      ;;
    *)
      unwritten=1
      instead "GitHub did not take it ($(why))"
      return
      ;;
  esac
  say comment-url "$(jq -r '.html_url // empty' "$work/answer")"
  wrote=$(jq -r '.user.login // empty' "$work/answer")
  if [ -n "$wrote" ] && [ "$wrote" != "$author" ]; then
    note warning "the token comments as $wrote: set \`comment-author: $wrote\`, or each run writes a new comment"
  fi
}

# The number of our comment, in $found; empty: there is none.
find_comment() {
  found=
  page=1
  while :; do
    ask GET "/repos/$repository/issues/$number/comments?per_page=100&page=$page"
    case $status in
      200) ;;
      401 | 403 | 404)
        forbidden
        return 1
        ;;
      *)
        unwritten=1
        instead "the comments could not be read ($(why))"
        return 1
        ;;
    esac
    found=$(jq -r --arg marker "$marker" --arg author "$author" 'map(select(.user.login? == $author and ((.body // "") | startswith($marker)))) | .[0].id // empty' "$work/answer")
    count=$(jq 'if type == "array" then length else 0 end' "$work/answer") || count=0
    if [ -n "$found" ] || [ "$count" -lt 100 ]; then return 0; fi
    page=$((page + 1))
  done
}

forbidden() {
  if is_fork; then
    instead "GitHub gives no token that may write to workflows of forks ($(why))"
  else
    instead "the token may not write comments ($(why)): give the job \`permissions: { contents: read, pull-requests: write }\`"
  fi
}

# The summary has the preview already.
instead() {
  note warning "the preview is in the job summary only: $1"
  printf '\n> [!NOTE]\n> There is no comment with this preview: %s.\n' "$1" >> "$summary"
}

# --- the end ---

finish() {
  if [ "${INPUT_FAIL_ON:-error}" = never ]; then exit 0; fi
  if [ "$code" -gt 1 ]; then
    note error "windlass plan ended with exit code $code: an error, or changes that cannot be applied"
    exit 2
  fi
  if [ "${INPUT_FAIL_ON:-error}" = changes ] && [ "$code" = 1 ]; then
    note error "the pull request changes something, and \`fail-on\` is changes"
    exit 1
  fi
  # What stands in the pull request may be the preview of an older commit.
  if [ -n "${unwritten:-}" ]; then exit 2; fi
  exit 0
}

main
