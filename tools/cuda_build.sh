#!/usr/bin/env bash
# Builds the service for NVIDIA GPUs on a machine that has neither a GPU nor a driver nor CUDA installed: tools/cuda_build.sh
#
# The toolkit comes from Python packages into target/cuda-toolkit (about 2 GB), the build goes to target/cuda, so that the ordinary one stays as it
# is; about 12 minutes on 2 cores. What only a driver brings, libcuda, is stood in for while linking, by a library with the names that
# CUDA's own header declares. The program needs libcuda.so.1 (the driver) and libcublas, libcublasLt, libcurand and libcudart of CUDA 13
# where it runs; a machine with PyTorch for CUDA 13 has those in site-packages/nvidia/cu13/lib: put that on LD_LIBRARY_PATH. Without a GPU the stand-in
# will do: LD_LIBRARY_PATH=target/cuda-stub:$(echo target/cuda-toolkit/lib/python3*/site-packages/nvidia/cu13/lib) target/cuda/release/reasonedit serve
#
# CUDA_COMPUTE_CAP is the GPU's compute capability without the point: 80 (A100), 86, 89 (L4, 4090), 90 (H100, H200; the default), 100, 120.
set -euo pipefail
cd "$(dirname "$0")/.."

version=13.0.2
target=$PWD/target
toolkit=$target/cuda-toolkit

if [ ! -x "$toolkit/bin/python" ]; then
    python3 -m venv "$toolkit"
fi
"$toolkit/bin/pip" install --quiet "cuda-toolkit[nvcc,crt,cudart,cccl,curand,nvrtc,nvvm,cublas]==$version"
cuda=$("$toolkit/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/nvidia/cu13

# The packages bring libX.so.N only, in lib; compilers look for libX.so, in lib64.
ln -sfn lib "$cuda/lib64"
for library in "$cuda"/lib/lib*.so.*; do
    ln -sf "$(basename "$library")" "${library%%.so.*}.so"
done

# A library with the driver's names, all of which say that there is no device (CUDA_ERROR_NO_DEVICE): enough to try the program without one.
stub=$target/cuda-stub
mkdir -p "$stub"
grep -ohE '\bcu[A-Z][A-Za-z0-9_]*' "$cuda/include/cuda.h" | sort -u | sed 's/.*/int &(void) { return 100; }/' > "$stub/cuda.c"
gcc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$stub/libcuda.so" "$stub/cuda.c"
ln -sf libcuda.so "$stub/libcuda.so.1"

export CUDA_HOME=$cuda CUDA_PATH=$cuda CUDA_ROOT=$cuda CUDA_TOOLKIT_ROOT_DIR=$cuda
export PATH="$cuda/bin:$PATH" CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
# The program may run on another machine than this one: a baseline that every server with such a GPU has, unless told otherwise.
export RUSTFLAGS="-C target-cpu=${TARGET_CPU:-x86-64-v3} -L native=$cuda/lib -L native=$stub -C link-arg=-Wl,--unresolved-symbols=ignore-in-shared-libs"
cargo "${1:-build}" --release --locked --target-dir "$target/cuda" -p reasonedit-cli --features cuda
if [ "${1:-build}" = build ]; then
    ls -lh "$target/cuda/release/reasonedit"
fi
