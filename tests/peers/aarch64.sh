#!/usr/bin/env bash
# Tests PBKDF2, the lanes and the oracles on an emulated ARMv8 processor with the SHA extensions.
# Needs a linker, a C compiler and a C library for it, and qemu (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user);
# rustup adds Rust's own part unless it is there. About 2 minutes, most of it for compiling.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-gnu
export RUST_BACKTRACE=0 CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu'

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    rustup target add "$target"
fi
features=(--no-default-features --features dictionary,opaque,scram,spake2plus,srp)
cargo clippy --package countersign --lib "${features[@]}" --target "$target" --quiet -- -D warnings
said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo test --package countersign --lib "${features[@]}" --target "$target" --quiet -- \
    --nocapture pbkdf2:: dictionary:: |& tee "$said"
# A processor without the instructions would skip what this is for.
if grep -q SKIPPED "$said"; then
    echo 'the emulated processor lacks the SHA extensions' >&2
    exit 1
fi
