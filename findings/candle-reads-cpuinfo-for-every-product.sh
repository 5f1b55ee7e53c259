#!/usr/bin/env bash
# candle-core multiplies no two matrices without counting the processor's cores first.
#
# Package: candle-core 0.11.1 (crates.io), Linux. Needs cargo and /proc.
# One expects the number of threads to be found out once. Unless RAYON_NUM_THREADS is set, `get_num_threads` is asked in
# every product on the CPU (cpu_backend, `MatMul`), and comes to num_cpus' count of physical cores, which reads
# /proc/cpuinfo through: for small products that is a good part of what they cost. CANDLE_NUM_THREADS, which stands
# beside it, does not keep it from that: it is for element-wise operations alone.
#
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "products"
version = "0.0.0"
edition = "2021"

[dependencies]
candle-core = "=0.11.1"
TOML
cat >"$folder/src/main.rs" <<'RUST'
use candle_core::{Device, Tensor};

const PRODUCTS: u64 = 1000;

/// Bytes that this process has read so far.
fn read() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

fn main() -> candle_core::Result<()> {
    let a = Tensor::ones((2, 64), candle_core::DType::F32, &Device::Cpu)?;
    let b = Tensor::ones((64, 64), candle_core::DType::F32, &Device::Cpu)?;
    a.matmul(&b)?;
    let (before, began) = (read(), std::time::Instant::now());
    for _ in 0..PRODUCTS {
        a.matmul(&b)?;
    }
    let micros = began.elapsed().as_micros() as u64 / PRODUCTS;
    println!("{} {micros}", (read() - before) / PRODUCTS);
    Ok(())
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo build --quiet --release --manifest-path "$folder/Cargo.toml"
program="$folder/target/release/products"
cpuinfo=$(wc -c </proc/cpuinfo)
read -r plain plain_us < <(env -u RAYON_NUM_THREADS -u CANDLE_NUM_THREADS "$program")
read -r candle _ < <(env -u RAYON_NUM_THREADS CANDLE_NUM_THREADS=1 "$program")
read -r rayon rayon_us < <(RAYON_NUM_THREADS=1 "$program")
echo "candle-core 0.11.1, a product of 2 by 64 by 64; /proc/cpuinfo has $cpuinfo bytes"
echo "  nothing set:           $plain bytes read, $plain_us us a product"
echo "  CANDLE_NUM_THREADS=1:  $candle bytes read"
echo "  RAYON_NUM_THREADS=1:   $rayon bytes read, $rayon_us us a product"
[ "$plain" -ge "$cpuinfo" ] && [ "$candle" -ge "$cpuinfo" ] && [ "$rayon" -lt 10 ] ||
    { echo "this has changed" >&2; exit 1; }
