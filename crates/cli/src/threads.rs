//! How many threads the tensor library computes with.

/// The library's variable of the threads that multiply two matrices.
const RAYON: &str = "RAYON_NUM_THREADS";

/// Says to the tensor library how many threads each of `jobs` engines has, unless somebody has:
/// candle-core 0.11 otherwise counts the processor's cores before every product of matrices by reading
/// `/proc/cpuinfo`, which was an eighth of what a question costs. To be called before there are other threads.
pub(crate) fn settle(jobs: usize) {
    if std::env::var_os(RAYON).is_some() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / jobs.max(1)).max(1);
    // SAFETY: `main` calls this first: no other thread is there to read or write the environment.
    #[expect(unsafe_code, reason = "there is no other way to say it to candle")]
    unsafe {
        std::env::set_var(RAYON, threads.to_string());
    }
    // What engines share has a thread for each core, however few each of them has. Nobody has built it before.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(cores).build_global();
}
