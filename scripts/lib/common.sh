# shellcheck shell=bash
# What the scripts share: where the repository is, how they speak, and how they run a step.
# Sourced, never run. Defines functions and `root`; changes nothing else.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# How many compilers at once: every core, but no more than one per 1.5 GiB of memory (Asio and sanitizers are hungry).
jobs_for_this_machine() {
  local cores memory_mib by_memory
  cores=$(nproc)
  memory_mib=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  by_memory=$((memory_mib / 1536))
  ((by_memory < 1)) && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# run_step TITLE LOGFILE COMMAND...: one line with the duration; the log's end only when the command fails.
run_step() {
  local title=$1 log=$2 started=$SECONDS status=0
  shift 2
  printf '%-58s ' "$title"
  "$@" >"$log" 2>&1 || status=$?
  if ((status == 0)); then
    printf 'ok      %4ds\n' $((SECONDS - started))
  else
    printf 'FAILED  %4ds   (all of it: %s)\n' $((SECONDS - started)) "$log"
    tail -n "${STEP_TAIL:-60}" "$log" | sed 's/^/  | /'
  fi
  return "$status"
}

# build_preset PRESET [TARGET...]: configures once (CMake notices later changes by itself) and builds.
build_preset() {
  local preset=$1 targets=()
  shift
  (($# > 0)) && targets=(--target "$@")
  cd "$root" &&
    { [[ -f build/$preset/build.ninja ]] || cmake --preset "$preset"; } &&
    cmake --build "build/$preset" --parallel "$(jobs_for_this_machine)" "${targets[@]}"
}
