#!/usr/bin/env bash
# Records the terminal run in src/guide/command_line.md, with tmux and Python.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --features cli --bin possession
folder=$(mktemp -d)
session=possession-$$
trap 'tmux -L "$session" kill-server 2>/dev/null; rm -rf "$folder"' EXIT
touch "$folder/ready"
# As the page says.
export CLIENT_SECRET=a-secret URL=http://127.0.0.1:9002/orders
target/debug/possession serve --port 9001 --secret-env CLIENT_SECRET >"$folder/ready" 2>/dev/null &
server=$!
until grep -q READY "$folder/ready"; do sleep 0.1; done
PATH=$PWD/target/debug:$PATH
export PATH

# What is typed. The options of the client are in a variable, so that the lines stay short.
export CLIENT="--issuer http://127.0.0.1:9001 --client-id test-client --secret-env CLIENT_SECRET --dangerous-http"
commands=(
  'possession call -i GET $URL $CLIENT'
  'possession key generate -o key.jwk'
  'possession proof GET $URL --key key.jwk >proof.txt'
  'possession explain proof.txt --method POST --url $URL | grep -A1 FAILS'
  'possession probe rs --call $URL $CLIENT --rate 50 2>/dev/null | tail -2'
)
cd "$folder"
tmux -L "$session" -f /dev/null new-session -d -x 110 -y 100 "env PS1='$ ' bash --norc --noprofile"
screen() { tmux -L "$session" capture-pane -p | sed 's/ *$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'; }
# Waits until the last line of the screen is a prompt.
prompt() { until [[ $(screen | tail -1) == '$' ]]; do sleep 0.1; done; }
prompt
for command in "${commands[@]}"; do
  tmux -L "$session" send-keys "$command" Enter
  until screen | tail -1 | grep -qv "^\\$ "; do sleep 0.1; done
  prompt
done
screen | sed '$d' >"$folder/run"
cd - >/dev/null
kill "$server"

python3 - "$folder/run" src/guide/command_line.md <<'PYTHON'
import pathlib, re, sys

run = "\n".join(line.rstrip() for line in pathlib.Path(sys.argv[1]).read_text().rstrip().splitlines())
page = pathlib.Path(sys.argv[2])
begin, end = "<!-- recorded by docs/terminal.sh -->\n", "<!-- end of the record -->"
before, rest = page.read_text().split(begin)
page.write_text(f"{before}{begin}```text\n{run}\n```\n{end}{rest.split(end)[1]}")
PYTHON
