//! Collects the lines that matter from the speakers' logs while they are written: a kubelet removes a
//! pod's log with the pod.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;

use super::Instant;

/// How often logs are looked at: well within the time for which a kubelet keeps those of a dead pod.
const INTERVAL: Duration = Duration::from_millis(200);

/// What a log says about a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    /// "Announcing VIP".
    Announcing(IpAddr),
    /// "Withdrew VIP".
    Withdrew(IpAddr),
}

/// The collected lines. Dropping it ends the thread that collects.
#[derive(Debug)]
pub(super) struct Logs {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// By file or directory, as it was asked for.
    by_root: Mutex<BTreeMap<PathBuf, Collected>>,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct Collected {
    /// How far each file has been read.
    offsets: BTreeMap<PathBuf, u64>,
    sayings: Vec<(Instant, Saying)>,
}

/// A line of a log.
#[derive(Deserialize)]
struct Line {
    timestamp: Timestamp,
    message: String,
    vip: Option<IpAddr>,
}

// === impl Logs ===

impl Logs {
    /// Starts to collect.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.is_over.load(Ordering::Relaxed) {
                    for collected in shared.by_root.lock().iter_mut() {
                        // What cannot be read now is read, or complained about, when it is needed.
                        let _ = collected.1.read(collected.0);
                    }
                    std::thread::park_timeout(INTERVAL);
                }
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Adds a file, or a directory below which all files count. It may not be there yet.
    pub(super) fn add(&self, root: &Path) {
        self.shared.by_root.lock().entry(root.to_owned()).or_default();
    }

    /// All that a file or directory has said until now.
    pub(super) fn sayings(&self, root: &Path) -> Result<Vec<(Instant, Saying)>> {
        let mut by_root = self.shared.by_root.lock();
        let collected = by_root.entry(root.to_owned()).or_default();
        let read = collected.read(root);
        read.with_context(|| format!("cannot read {}", root.display()))?;
        Ok(collected.sayings.clone())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot fail but by a panic, which has been printed.
            let _ = thread.join();
        }
    }
}

// === impl Collected ===

impl Collected {
    /// Reads what is new; what is not there has nothing to say, also when it vanishes meanwhile.
    fn read(&mut self, path: &Path) -> io::Result<()> {
        let read = if path.is_dir() {
            fs::read_dir(path).and_then(|mut entries| entries.try_for_each(|entry| self.read(&entry?.path())))
        } else {
            self.read_file(path)
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            read => read,
        }
    }

    fn read_file(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let offset = self.offsets.entry(path.to_owned()).or_default();
        if file.metadata()?.len() < *offset {
            *offset = 0;
        }
        file.seek(SeekFrom::Start(*offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // The last line may still be written.
        let complete = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        *offset += u64::try_from(complete).unwrap_or_default();
        bytes.truncate(complete);
        let text = String::from_utf8_lossy(&bytes);
        self.sayings.extend(text.lines().filter_map(saying));
        Ok(())
    }
}

/// What a line says about a VIP. A kubelet puts words of its own before it.
pub(super) fn saying(line: &str) -> Option<(Instant, Saying)> {
    let line: Line = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
    let since = line.timestamp.duration_since(Timestamp::UNIX_EPOCH);
    let at = Duration::try_from(since).ok()?;
    let saying = match line.message.as_str() {
        "Announcing VIP" => Saying::Announcing(line.vip?),
        "Withdrew VIP" => Saying::Withdrew(line.vip?),
        _ => return None,
    };
    Some((at, saying))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const LINE: &str = r#"2026-11-21T12:00:01.1Z stderr F {"timestamp":"2026-11-21T12:00:01.000500Z","level":"INFO","message":"Announcing VIP","vip":"192.0.2.200","epoch":1}"#;

    #[test]
    fn lines_are_kept_when_their_file_is_gone_and_half_lines_wait() {
        let directory = std::env::temp_dir().join(format!("ferrolb-oracle-logs-{}", std::process::id()));
        let nested = directory.join("pod/speaker");
        fs::create_dir_all(&nested).expect("a temporary directory");
        let mut collected = Collected::default();
        let mut file = File::create(nested.join("0.log")).expect("a file");
        write!(file, "no JSON\n{}", &LINE[..60]).expect("written");
        collected.read(&directory).expect("readable");
        assert_eq!(collected.sayings, []);
        writeln!(file, "{}", &LINE[60..]).expect("written");
        collected.read(&directory).expect("readable");
        fs::remove_dir_all(&directory).expect("removed");
        collected.read(&directory).expect("nothing there is nothing said");

        let at = Duration::from_secs(1_795_262_401) + Duration::from_micros(500);
        let vip = "192.0.2.200".parse().expect("an address");
        assert_eq!(collected.sayings, [(at, Saying::Announcing(vip))]);
    }
}
