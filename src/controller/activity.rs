//! What windlass does, told as it happens: [`Reader::record`] writes it to the log, keeps the last
//! of it for the page, and hands it to whoever listens: Kubernetes Events, notifications, the
//! page's stream. Nothing waits for a listener, and one that is slow misses something.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::cache::locked;
use super::{Reader, Writer};
use crate::cluster::Notice;
use crate::domain::activity::{Activity, State, Subject, What};
use crate::domain::pull_request::shortened;
use crate::domain::{PullRequestKey, StageKey, TargetKey};
use crate::view;

/// Activities that the page shows the last of.
const MOST_RECENT: usize = 500;
/// Activities that a slow listener may lag behind.
const MOST_BEHIND: usize = 1024;
/// Kubernetes Events of one application in a minute; client-go's recorder has a like bound.
const EVENTS_A_MINUTE: u32 = 25;

/// The last activities, and who listens.
pub struct Activities {
    recent: Mutex<VecDeque<Arc<Activity>>>,
    listeners: broadcast::Sender<Arc<Activity>>,
    /// Counts changes of what the page shows.
    changes: watch::Sender<u64>,
}

impl Default for Activities {
    fn default() -> Self {
        Self {
            recent: Mutex::default(),
            listeners: broadcast::channel(MOST_BEHIND).0,
            changes: watch::channel(0).0,
        }
    }
}

impl Activities {
    pub fn listen(&self) -> broadcast::Receiver<Arc<Activity>> {
        self.listeners.subscribe()
    }

    /// Changes whenever something that the page shows does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The newest first.
    pub fn recent(&self) -> Vec<Arc<Activity>> {
        locked(&self.recent).iter().rev().cloned().collect()
    }

    pub fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Reader {
    pub fn record(&self, subject: Subject, what: What) {
        let what = bounded(what);
        log(&subject, &what);
        self.metrics.activity(what.reason());
        if let (Subject::Application(key), What::DriftReverted(_)) = (&subject, &what) {
            let (application, stage) = (key.application.to_string(), key.place());
            self.metrics.drift_reverted(application, stage);
        }
        let at = self.now();
        let activity = Arc::new(Activity { at, subject, what });
        {
            let mut recent = locked(&self.activities.recent);
            recent.push_back(activity.clone());
            let more = recent.len().saturating_sub(MOST_RECENT);
            recent.drain(..more);
        }
        // Nobody may listen.
        let _ = self.activities.listeners.send(activity);
        self.activities.note_change();
    }

    pub fn record_pull(&self, key: &PullRequestKey, what: What) {
        self.record(Subject::PullRequest(key.clone()), what);
    }

    /// What was done for all clusters of a stage is told once.
    pub fn record_stage(&self, key: &StageKey, what: What) {
        let bases = self.bases();
        let base = bases.iter().find(|base| base.repo.name == key.repo);
        if let Some(target) = base.and_then(|base| base.lead(key)) {
            self.record_application(&target.key(&key.repo), what);
        }
    }

    pub fn record_application(&self, key: &TargetKey, what: What) {
        self.record(Subject::Application(key.clone()), what);
    }
}

/// What comes from outside is cut: the last hundreds are kept.
fn bounded(what: What) -> What {
    const MOST_LINE: usize = 300;
    const MOST_MESSAGE: usize = 2_000;
    match what {
        What::Command { line, author } => What::Command {
            line: shortened(&line, MOST_LINE),
            author,
        },
        What::State(state) => What::State(State {
            message: state.message.map(|text| shortened(&text, MOST_MESSAGE)),
            ..state
        }),
        other => other,
    }
}

fn log(subject: &Subject, what: &What) {
    let (text, reason) = (view::activity(what), what.reason());
    match (subject, what.is_warning()) {
        (Subject::Application(key), true) => {
            tracing::warn!(windlass.repository = %key.repo, windlass.application = %key.application, windlass.stage = %key.stage, windlass.cluster = key.cluster.as_ref().map(tracing::field::display), reason, "{text}");
        }
        (Subject::Application(key), false) => {
            tracing::info!(windlass.repository = %key.repo, windlass.application = %key.application, windlass.stage = %key.stage, windlass.cluster = key.cluster.as_ref().map(tracing::field::display), reason, "{text}");
        }
        (Subject::PullRequest(key), _) => {
            tracing::info!(windlass.repository = %key.repo, windlass.pull_request = key.number, reason, "{text}");
        }
    }
}

/// Writes what happens to applications as Kubernetes Events: on the live object that it is about,
/// and on the `Application`.
pub async fn write_events(ctx: Arc<Writer>) {
    let mut activities = ctx.activities.listen();
    let mut counts = HashMap::new();
    loop {
        let activity = match activities.recv().await {
            Ok(activity) => activity,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if let Subject::Application(key) = &activity.subject
            && is_told(&activity.what)
            && (matches!(activity.what, What::State(_)) || is_within(&mut counts, key))
        {
            write(&ctx, key, &activity.what).await;
        }
    }
}

/// What was applied follows at once, and an application that is gone has no object.
fn is_told(what: &What) -> bool {
    match what {
        What::State(state) => state.reason != crate::domain::sync::APPLYING,
        What::Retired => false,
        _ => true,
    }
}

/// Whether the application has not had too many Events in this minute.
fn is_within(counts: &mut HashMap<TargetKey, (Instant, u32)>, key: &TargetKey) -> bool {
    counts.retain(|_, (since, _)| since.elapsed() < Duration::from_secs(60));
    let (_, count) = counts.entry(key.clone()).or_insert((Instant::now(), 0));
    *count += 1;
    *count <= EVENTS_A_MINUTE
}

async fn write(ctx: &Writer, key: &TargetKey, what: &What) {
    let notice = Notice {
        reason: what.reason(),
        is_warning: what.is_warning(),
        note: view::advised(&key.title(), what),
    };
    let object = what
        .object()
        .map(|object| (object, ctx.cluster(&object.cluster)));
    if let Some((object, Ok(cluster))) = object {
        let written = ctx.to_cluster(cluster).notice(object, &notice).await;
        forgive(written, key);
    }
    if let Ok(Some(application)) = ctx.store.application(key).await {
        forgive(ctx.to_store().notice(&application, &notice).await, key);
    }
}

/// An Event that cannot be written stops nothing.
fn forgive(written: crate::cluster::Result<()>, key: &TargetKey) {
    if let Err(error) = written {
        tracing::debug!(application = %key.title(), %error, "an Event was not written");
    }
}
