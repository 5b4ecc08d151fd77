#!/usr/bin/env bash
# How do the dictionary's lanes compare with hashcat on one core of the same machine?
#
#   benches/hashcat.sh [ROUNDS [CORE [MODE]]]
#
# Runs hashcat's own benchmark on the processor and the lanes in turn, both pinned to one core, and prints the medians in
# PBKDF2 iterations a second, because the modes count different numbers of them. For SHA-256, what the processor allows
# either of them follows (benches/ports.rs). Needs hashcat and an OpenCL runtime for processors (Debian: hashcat,
# pocl-opencl-icd, ocl-icd-libopencl1). The first run compiles hashcat's kernels. BENCH and PORTS may name builds of the two
# benches, else they are built.
#
# WITHOUT_AVX512=1 lets neither side use AVX-512, as on the machine that the ratios come from; it needs a C compiler and PoCL on
# LLVM 15, and shows the lanes of SHA-256 on the SHA extensions, those of the others on AVX2.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
core=${2:-0}
only=${3:-}

# Mode, PRF, iterations of a guess in hashcat's benchmark, ratio that is asked for, kernel without AVX-512.
comparisons='
28600 HmacSha256 4096 2.1 SHA-NI x2
23200 HmacSha1 4096 1.15 AVX2 x8
12100 HmacSha512 1000 0.9 AVX2 x4
'
# Iterations of a guess in `--rate`.
ours=4096

command -v hashcat >/dev/null || { echo 'hashcat is not installed' >&2; exit 1; }
built() {
    cargo bench --bench "$1" --features dictionary --no-run --message-format=json 2>/dev/null |
        sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\\([^\"]*\\)\".*/\\1/p" | tail -1
}
bench=${BENCH:-$(built dictionary)}
ports=${PORTS:-$(built ports)}

# Compiled kernels are kept for the next run, but not for the other processor.
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache}/countersign-hashcat${WITHOUT_AVX512:+-avx2}
export POCL_CACHE_DIR=$XDG_CACHE_HOME/pocl
mkdir -p "$POCL_CACHE_DIR"
preload=
if [ -n "${WITHOUT_AVX512:-}" ]; then
    preload=$XDG_CACHE_HOME/avx2.so
    cc -O2 -shared -fPIC -o "$preload" benches/hashcat_avx2.c -ldl
fi

# Guesses a second; the columns of a machine-readable line are device, mode, two clocks, milliseconds, rate.
hashcat_rate() {
    LD_PRELOAD=$preload POCL_MAX_PTHREAD_COUNT=1 \
        taskset -c "$core" hashcat --benchmark --machine-readable --hash-type "$1" 2>/dev/null |
        awk -F: -v mode="$1" '$2 == mode { print $6 }'
}

our_rate() {
    taskset -c "$core" "$bench" --rate "$1" ${WITHOUT_AVX512:+"$2"} | tail -1
}

median() {
    sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'
}

hashcat --version
while read -r mode prf iterations least kernel; do
    if [ -z "$mode" ] || [ "${only:-$mode}" != "$mode" ]; then continue; fi
    hashcat_rate "$mode" >/dev/null
    theirs=
    mine=
    for _ in $(seq "$rounds"); do
        theirs+=$(hashcat_rate "$mode")$'\n'
        mine+=$(our_rate "$prf" "$kernel")$'\n'
    done
    theirs=$(printf %s "$theirs" | median)
    mine=$(printf %s "$mine" | median)
    awk -v mode="$mode" -v prf="$prf" -v least="$least" -v theirs="$theirs" -v mine="$mine" \
        -v iterations="$iterations" -v ours="$ours" 'BEGIN {
            theirs *= iterations / 1e6; mine *= ours / 1e6; ratio = mine / theirs
            verdict = (ratio >= least) ? "met" : "MISSED"
            printf "mode %s: hashcat %.2f, lanes of %s %.2f million iterations a second: %.2f, at least %s: %s\n",
                mode, theirs, prf, mine, ratio, least, verdict
        }'
    if [ "$mode" = 28600 ] && [ -z "${WITHOUT_AVX512:-}" ]; then
        HASHCAT=$(awk -v rate="$theirs" -v iterations="$iterations" 'BEGIN { print rate * iterations / 1e6 }') \
            taskset -c "$core" "$ports" | sed 's/^/  /'
    fi
done <<<"$comparisons"
