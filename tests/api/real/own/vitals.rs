//! What this process takes of its machine: the memory, sockets and tasks that a leak would show in.

use std::fs;

use tokio::runtime::Handle;

/// A look at the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vitals {
    /// Resident memory, in KiB.
    pub(super) resident: u64,
    /// The most that it has been, in KiB.
    pub(super) peak: u64,
    /// Open sockets.
    pub(super) sockets: usize,
    /// Tasks of the runtime that have not ended.
    pub(super) tasks: usize,
}

impl Vitals {
    /// Those of now, or nothing on a system that does not tell.
    pub(super) fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kib = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().strip_suffix(" kB")?.parse().ok()
        };
        let descriptors = fs::read_dir("/proc/self/fd").ok()?.flatten();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        Some(Self {
            resident: kib("VmRSS:")?,
            peak: kib("VmHWM:")?,
            sockets: targets
                .filter(|target| target.to_string_lossy().starts_with("socket:"))
                .count(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        })
    }
}
