# Sourced by .ci/run and .ci/full: steps, their counts, and the packages that they need beyond Node, npm, a
# C++ compiler and CMake.
passed=0
failed=0
# What failed, told again at the end: logs of thousands of lines are cut, or read from below.
failures=$(mktemp)

step() { # step NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  echo "--- $name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name" | tee -a "$failures"; fi
  echo "--- $name: $((SECONDS - start)) s"
}

# Tests of one run of Vitest, counted one by one.
tests() { # tests NAME COMMAND...
  local name=$1 start=$SECONDS status ok=0 bad=0
  shift
  echo "--- $name"
  rm -f build/test-results.json
  "$@"
  status=$?
  if [ -f build/test-results.json ]; then
    read -r ok bad < <(node -p 'const r = JSON.parse(require("fs").readFileSync("build/test-results.json", "utf8")); `${r.numPassedTests} ${r.numFailedTests}`')
  fi
  # A suite that cannot even load has no failing test to count.
  [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
  if [ "$bad" -gt 0 ]; then
    echo "FAILED: $name" | tee -a "$failures"
    if [ -f build/test-results.json ]; then node .ci/failed-tests.js build/test-results.json >>"$failures"; fi
  fi
  passed=$((passed + ok))
  failed=$((failed + bad))
  echo "--- $name: $((SECONDS - start)) s"
}

skip() { # skip NAME REASON
  echo "--- $1: skipped: $2"
}

# Steps that run beside those that the script goes on with: tests wait for processes and for the disk, which
# leaves parts of two cores to others. What they print comes, and is counted, where they are joined.
beside() { # beside FUNCTION
  beside_log=$(mktemp)
  (
    passed=0 failed=0
    "$1"
    echo "$passed $failed" >"$beside_log.counts"
  ) >"$beside_log" 2>&1 &
  beside_pid=$!
  trap 'kill "$beside_pid" 2>/dev/null' EXIT
}

joined() {
  local ok=0 bad=1
  wait "$beside_pid"
  trap - EXIT
  cat "$beside_log"
  # Where they came to no end there are no counts.
  if [ -f "$beside_log.counts" ]; then read -r ok bad <"$beside_log.counts"; else echo 'FAILED: the steps beside ended early' | tee -a "$failures"; fi
  rm -f "$beside_log" "$beside_log.counts"
  passed=$((passed + ok))
  failed=$((failed + bad))
}

# Debian's packages, where they can be had.
install_packages() { # install_packages PACKAGE...
  local sudo=sudo
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" -eq 0 ]; then sudo=; fi
  # shellcheck disable=SC2086 # as root there is no word
  $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Four nodes of Slurm on this machine, for the campaigns that need it (test/support/slurm.ts starts and ends
# them): what there is, else Debian's. Elsewhere they are skipped, and say why.
install_slurm() {
  local name missing=
  for name in munged slurmctld slurmd sbatch; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$name" >/dev/null || missing=1
  done
  [ -z "$missing" ] || install_packages slurmctld slurmd slurm-client munge || skip slurm 'apt-get could not install it'
}

# A folder through a file system of its own, for ranks that see one folder by other device numbers.
install_bindfs() {
  command -v bindfs >/dev/null || install_packages bindfs || skip bindfs 'apt-get could not install it'
}

# What failed, the last line, and the exit status of the script.
report() {
  cat "$failures"
  rm -f "$failures"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
