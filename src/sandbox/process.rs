//! Child processes that never outlive us, and folders that do not stay behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

/// A server that ends when its standard input does: it holds the other end of a pipe from us, so it
/// ends with us however we die. Dropping it kills it.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts `command` with `LIFELINE=stdin`; what it prints goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let err = out.try_clone()?;
        let child = command
            .env("LIFELINE", "stdin")
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {}",
                    Path::new(command.get_program()).display()
                )
            })?;
        Ok(Self { child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and wait.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A temporary folder that is removed when dropped; one whose owner was killed is removed by the
/// next [`Folder::temporary`]. A lock on a file in it tells the two apart: the kernel lets go of it
/// when the owner ends.
pub struct Folder {
    path: PathBuf,
    keep: bool,
    _lock: Option<File>,
}

const PREFIX: &str = "windlass-sandbox-";

impl Folder {
    pub fn temporary() -> anyhow::Result<Self> {
        let root = std::env::temp_dir();
        sweep(&root);
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&root)?
            .keep();
        let lock = File::create(path.join("lock"))?;
        lock.try_lock().context("a new folder's lock is free")?;
        Ok(Self {
            path,
            keep: false,
            _lock: Some(lock),
        })
    }

    /// A folder of the user's, which stays.
    pub fn given(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self {
            path: path.canonicalize()?,
            keep: true,
            _lock: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(lock) = File::open(entry.path().join("lock"))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A port on which a server can be started, and started again: no two calls in a process get the
/// same, and it lies below 32,768, where Linux's default `ip_local_port_range` begins, so that no
/// outgoing connection takes it meanwhile.
pub fn free_port() -> anyhow::Result<u16> {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (0..COUNT)
        .map(|_| {
            let turn = std::process::id()
                .wrapping_mul(389)
                .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            (FIRST + turn % COUNT) as u16
        })
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| anyhow::anyhow!("no port between {FIRST} and {} is free", FIRST + COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_owner_left_is_swept() {
        let root = tempfile::tempdir().unwrap();
        let (stale, held) = (
            root.path().join(format!("{PREFIX}a")),
            root.path().join(format!("{PREFIX}b")),
        );
        for folder in [&stale, &held] {
            fs::create_dir(folder).unwrap();
            File::create(folder.join("lock")).unwrap();
        }
        let lock = File::open(held.join("lock")).unwrap();
        lock.try_lock().unwrap();
        sweep(root.path());
        assert_eq!((stale.exists(), held.exists()), (false, true));
    }
}
