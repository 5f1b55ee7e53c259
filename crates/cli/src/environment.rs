//! What libraries beneath read from the environment when a program begins.

use crate::allocator;

/// How many threads multiply two matrices, for the tensor library.
const RAYON: &str = "RAYON_NUM_THREADS";

/// Says to the tensor library how many threads each of `jobs` engines has, and to the allocator how many
/// arenas, unless somebody has: candle-core 0.11 otherwise counts the processor's cores before every product
/// of matrices by reading `/proc/cpuinfo`, which was an eighth of what a question costs. Both look at the
/// environment alone, and that is set for good when a program begins: so the program begins once more, as the
/// same process.
pub(crate) fn settle(jobs: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / jobs.max(1)).max(1).to_string();
    let arenas = allocator::arenas(cores).to_string();
    let wanted = [(RAYON, threads.as_str()), (allocator::ARENAS, arenas.as_str())];
    let missing: Vec<_> = wanted.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if !missing.is_empty() {
        begin_again(&missing);
    }
    if jobs > 1 {
        // What engines share has a thread for each core, however few each of them has.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(cores).build_global();
    }
}

/// Returns where the system can't do that: everything works as it is, too.
fn begin_again(missing: &[(&str, &str)]) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;

        let mut arguments = std::env::args_os();
        if let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) {
            let mut again = std::process::Command::new(program);
            let failed = again.arg0(name).args(arguments).envs(missing.iter().copied()).exec();
            // There is no log yet, and nothing to be done about it.
            drop(failed);
        }
    }
    #[cfg(not(unix))]
    let _ = missing;
}
