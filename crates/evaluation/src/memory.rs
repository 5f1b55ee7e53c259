//! How much memory the program holds at most.

/// The most bytes of memory since the program began or [`forget_peak`] was called; `None` where the operating
/// system doesn't say.
pub(crate) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// From now on the peak counts anew, where the operating system can do that (Linux: `/proc/pid/clear_refs`).
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
