//! How much memory the container may use, from which the default budget follows.

use std::path::Path;

/// Where the kernel tells it: cgroup v2, then v1.
const LIMIT_FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The budget where there is no limit.
pub(super) const BUDGET_BYTES_DEFAULT: u64 = 256 << 20;

/// The container's memory limit in bytes; none if it has none. What a process has laid out by it
/// stays, so it asks once: a limit that changes while it runs must not move the defaults of a reload.
#[must_use]
pub fn limit_bytes() -> Option<u64> {
    limit_of(|path| std::fs::read_to_string(Path::new(path)).ok())
}

fn limit_of(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    LIMIT_FILES.iter().find_map(|path| {
        let bytes = read(path)?.trim().parse::<u64>().ok()?;
        // cgroup v2 writes "max" for none, v1 a number near the largest there is.
        (bytes < 1 << 50).then_some(bytes)
    })
}

/// A third of the limit, in whole MiB.
pub(super) fn default_budget_bytes(limit: Option<u64>) -> u64 {
    match limit {
        Some(bytes) => ((bytes / 3) & !0xF_FFFF).max(super::server::BUDGET_BYTES_MIN),
        None => BUDGET_BYTES_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_from_either_cgroup_version() {
        for (v2, v1, expected) in [
            (Some("536870912\n"), None, Some(512 << 20)),
            (Some("max\n"), None, None),
            (None, Some("1073741824\n"), Some(1 << 30)),
            (None, Some("9223372036854771712\n"), None),
            (None, None, None),
            (Some("nonsense"), None, None),
        ] {
            let read = |path: &str| {
                let text = if path == LIMIT_FILES[0] { v2 } else { v1 };
                text.map(str::to_owned)
            };
            assert_eq!(limit_of(read), expected, "{v2:?} {v1:?}");
        }
        assert_eq!(default_budget_bytes(Some(512 << 20)), 170 << 20);
        assert_eq!(default_budget_bytes(None), 256 << 20);
    }
}
