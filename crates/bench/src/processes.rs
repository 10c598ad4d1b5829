//! Processor time and memory of processes, as Linux tells them in `/proc`.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// What this process, and the server's, have used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) own_cpu_seconds: f64,
    /// Of the server's process and all that descend from it.
    pub(crate) server: Option<Used>,
}

/// What some processes have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_bytes: u64,
    pub(crate) rss_bytes: u64,
}

/// What the server and its children have used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerUsage {
    /// User and system time in the measured part, in seconds.
    pub cpu_seconds: f64,
    /// Most resident memory since it was started.
    pub peak_rss_bytes: u64,
    /// Resident memory at the end.
    pub rss_bytes: u64,
}

impl Usage {
    /// Now; with the server's if its process is given.
    pub(crate) fn of(server: Option<u32>) -> Result<Self> {
        let own_cpu_seconds = Used::of(std::process::id())?.cpu_seconds;
        Ok(Self { own_cpu_seconds, server: server.map(Used::of_family).transpose()? })
    }
}

impl Used {
    /// Of one process.
    fn of(pid: u32) -> Result<Self> {
        let stat = Stat::of(pid)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |key| memory(&status, key).unwrap_or_default();
        Ok(Self {
            cpu_seconds: stat.ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            peak_rss_bytes: bytes("VmHWM:"),
            rss_bytes: bytes("VmRSS:"),
        })
    }

    /// Of a process and all that descend from it: gunicorn's work is done by its children.
    fn of_family(pid: u32) -> Result<Self> {
        let mut used = Self::of(pid).with_context(|| format!("--pid: cannot look at process {pid}"))?;
        let stats: Vec<Stat> = fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Stat::of(pid).ok())
            .collect();
        let mut family = vec![pid];
        while let Some(parent) = family.pop() {
            for child in stats.iter().filter(|stat| stat.parent == parent) {
                family.push(child.pid);
                // One that ends meanwhile is counted in its parent's time.
                if let Ok(more) = Self::of(child.pid) {
                    used.cpu_seconds += more.cpu_seconds;
                    used.peak_rss_bytes += more.peak_rss_bytes;
                    used.rss_bytes += more.rss_bytes;
                }
            }
        }
        Ok(used)
    }
}

impl ServerUsage {
    pub(crate) fn between(before: Used, after: Used) -> Self {
        Self {
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            peak_rss_bytes: after.peak_rss_bytes,
            rss_bytes: after.rss_bytes,
        }
    }
}

/// Of `/proc/PID/stat`, see proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    /// User and system time, also of children that have ended and were waited for.
    ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(pid, &text).context("unknown format")
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        // The name before may hold anything, parentheses too.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let parent = fields.get(1)?.parse().ok()?;
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
        Some(Self { pid, parent, ticks: ticks.sum::<Result<u64, _>>().ok()? })
    }
}

/// The bytes in a line such as `VmRSS:      1234 kB`.
fn memory(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_of_proc_are_known() {
        let text = "17 (a) b (c)) S 4 17 17 0 -1 4194304 1 2 3 4 100 20 3 0 20 0 1 0 5 6 7";
        assert_eq!(Stat::parse(17, text), Some(Stat { pid: 17, parent: 4, ticks: 123 }));
        assert_eq!(memory("VmPeak:\t  5 kB\nVmRSS:\t     12 kB\n", "VmRSS:"), Some(12_288));
        assert_eq!(memory("", "VmRSS:"), None);
    }

    #[test]
    fn children_are_part_of_the_family() {
        let own = Used::of(std::process::id()).unwrap();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let family = Used::of_family(std::process::id()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(own.rss_bytes > 0 && family.peak_rss_bytes > own.peak_rss_bytes, "{own:?} {family:?}");
        assert!(Used::of_family(u32::MAX).is_err());
    }
}
