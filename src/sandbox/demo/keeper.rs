//! Keeps windlass running, and the description for other programs true.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::say;
use crate::sandbox::installation::Windlass;
use crate::sandbox::process::Server;

/// Keeps windlass running: when it dies it is started again.
pub(super) struct Keeper {
    pub(super) windlass: Arc<Windlass>,
    running: Arc<Mutex<Running>>,
    task: tokio::task::JoinHandle<()>,
}

struct Running {
    server: Server,
    /// Where to write what is known, and what; the pid is filled in.
    file: PathBuf,
    description: Option<Value>,
}

impl Running {
    fn write(&self) -> anyhow::Result<()> {
        let Some(mut description) = self.description.clone() else {
            return Ok(());
        };
        description["windlass"]["pid"] = self.server.id().into();
        let scratch = self.file.with_extension("new");
        std::fs::write(&scratch, serde_json::to_string_pretty(&description)? + "\n")?;
        Ok(std::fs::rename(&scratch, &self.file)?)
    }
}

impl Keeper {
    pub(super) fn start(windlass: Windlass, file: PathBuf) -> anyhow::Result<Self> {
        let windlass = Arc::new(windlass);
        let running = Arc::new(Mutex::new(Running {
            server: windlass.start()?,
            file,
            description: None,
        }));
        let (kept, starter) = (running.clone(), windlass.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let mut running = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if running.server.ended() {
                    say("  windlass ended; starting it again");
                    match starter.start() {
                        Ok(server) => {
                            running.server = server;
                            let _ = running.write();
                        }
                        Err(error) => say(&format!("  {error:#}")),
                    }
                }
            }
        });
        Ok(Self {
            windlass,
            running,
            task,
        })
    }

    pub(super) fn describe(&self, description: Value) -> anyhow::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.description = Some(description);
        running.write()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}
