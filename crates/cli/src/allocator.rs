//! What becomes of memory that was freed: glibc's allocator keeps it unless it is told otherwise.
//!
//! Chosen by measurement (docs/qualification.md): left to itself it keeps 2 to 4 GiB after a flood with
//! bodies of 20 MB, in an arena for nearly every thread. Of what gives it back at once, glibc with a mapping
//! of its own for every large block takes a sixth more of the processor for edits and questions, whose
//! tensors are such blocks too, jemalloc a quarter more; mimalloc a twentieth, and keeps more. Few arenas and
//! an explicit trim once requests have given back what they held cost nothing that could be measured.

use std::time::Duration;

use reasonedit_resilience::MemoryBudget;

/// Arenas of glibc's allocator (`mallopt(3)`), as it reads them when a program begins.
pub(crate) const ARENAS: &str = "MALLOC_ARENA_MAX";

/// How often it is looked how much requests hold.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes that requests have to have given back for it to be worth the time: it stops whoever allocates.
const WORTH_IT: u64 = 64 << 20;

/// How many arenas there are to be: as many as threads compute, but some and not many.
pub(crate) fn arenas(cores: usize) -> usize {
    cores.clamp(2, 8)
}

/// Gives freed memory back to the system whenever requests have given back much of theirs; never ends.
pub(crate) async fn give_back(memory: MemoryBudget) {
    let mut least = memory.free();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let free = memory.free();
        least = least.min(free);
        if free - least >= WORTH_IT {
            // Nothing comes of a panic there but that nothing is given back.
            let _ = tokio::task::spawn_blocking(trim).await;
            least = free;
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no safe name for it")]
fn trim() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    // SAFETY: `int malloc_trim(size_t)` of glibc may be called at any time from any thread, and touches
    // nothing that is allocated. What it returns only says whether there was something to give back.
    unsafe {
        malloc_trim(0);
    }
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimming_leaves_what_is_allocated() {
        let blocks: Vec<Vec<u8>> = (0..100).map(|byte| vec![byte; 100_000]).collect();
        let kept: Vec<_> = blocks.into_iter().step_by(2).collect();
        trim();
        assert!((0..).step_by(2).zip(&kept).all(|(byte, block)| block.iter().all(|&b| b == byte)));
    }

    #[test]
    fn there_are_some_arenas_and_not_many() {
        assert_eq!([1, 2, 4, 64].map(arenas), [2, 2, 4, 8]);
    }
}
