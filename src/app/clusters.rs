//! The clusters of the settings, and what happens when their kubeconfigs change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use kube::config::Kubeconfig;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cluster::{Cluster, WatchEvent, connect, connect_as};
use crate::config::Settings;

/// How often the kubeconfigs are read again. Kubernetes itself takes a minute to bring a changed
/// Secret into a pod.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// The shortest time between two starts for a kubeconfig that is rewritten, and between two attempts
/// with one that cannot be used.
const CALM: Duration = Duration::from_secs(60);

/// The clusters by name.
pub struct Clusters {
    pub connected: BTreeMap<String, Cluster>,
    /// Those whose kubeconfig cannot be used, each with the reason.
    pub away: BTreeMap<String, String>,
}

/// Makes a client for each cluster, which asks nothing yet. Without the one that windlass runs in
/// nothing goes; another one that cannot be used holds up no other.
pub async fn clusters(
    settings: &Settings,
    watch_events: &mpsc::Sender<WatchEvent>,
) -> anyhow::Result<Clusters> {
    let local = settings.kubeconfig.clone().map(|path| (path, None));
    let mut places = BTreeMap::from([("local".to_string(), local)]);
    let others = settings.clusters.iter();
    places.extend(others.map(|(name, place)| (name.clone(), Some(place.clone()))));
    let (mut connected, mut away) = (BTreeMap::new(), BTreeMap::new());
    for (name, place) in places {
        let place = place
            .as_ref()
            .map(|(path, context)| (path.as_path(), context.as_deref()));
        match cluster(settings, &name, place, watch_events).await {
            Ok(cluster) => drop(connected.insert(name, cluster)),
            Err(error) if name == "local" => return Err(error),
            // The error may quote the kubeconfig, or the environment of its program.
            Err(_) => {
                let (file, why) = reason(place);
                tracing::error!(cluster = name, file, why, "a cluster cannot be used");
                away.insert(name, format!("its kubeconfig cannot be used: {why}"));
            }
        }
    }
    Ok(Clusters { connected, away })
}

/// The file of a cluster's kubeconfig, and why it cannot be used, in words of ours.
fn reason(place: Option<(&Path, Option<&str>)>) -> (String, &'static str) {
    let Some((file, _)) = place else {
        return (String::new(), "windlass runs in no cluster");
    };
    let why = match (file.is_file(), Kubeconfig::read_from(file)) {
        (false, _) => "the file is not there",
        (true, Err(_)) => "the file is no kubeconfig",
        (true, Ok(_)) => {
            "its context, certificates or program for credentials fail: kubectl with the same file says why"
        }
    };
    (file.display().to_string(), why)
}

async fn cluster(
    settings: &Settings,
    name: &str,
    place: Option<(&Path, Option<&str>)>,
    watch_events: &mpsc::Sender<WatchEvent>,
) -> anyhow::Result<Cluster> {
    let projects = settings.projects.projects().iter();
    let accounts: BTreeSet<_> = projects
        .filter_map(|project| project.service_account.clone())
        .chain(settings.preview_account.clone())
        .collect();
    let context = || format!("cannot connect to cluster `{name}`");
    let mut acting = HashMap::new();
    for account in accounts {
        let client = connect_as(place, Some(&account)).await;
        acting.insert(account, client.with_context(context)?);
    }
    let client = connect(place).await.with_context(context)?;
    Ok(Cluster::new(name, client, watch_events.clone()).with_accounts(acting))
}

/// The kubeconfigs of the settings, as they were read.
pub(super) struct Kubeconfigs(BTreeMap<PathBuf, Option<[u8; 32]>>);

impl Kubeconfigs {
    pub(super) fn read(settings: &Settings) -> Self {
        let files = settings.clusters.values().map(|(file, _)| file.clone());
        let files = files.chain(settings.kubeconfig.clone());
        Self(files.map(|file| (file.clone(), digest(&file))).collect())
    }
}

/// The digest of a file; None: it cannot be read.
fn digest(file: &Path) -> Option<[u8; 32]> {
    let content = std::fs::read(file).ok()?;
    Some(Sha256::digest(content).into())
}

/// Waits until a kubeconfig is another one than it was, and complete; or until a cluster can be used
/// that could not.
pub(super) async fn changed(settings: &Settings, known: &Kubeconfigs, away: &[String]) {
    let (started, mut before) = (Instant::now(), BTreeMap::new());
    let (events, _unheard) = mpsc::channel(1);
    let mut tried = started;
    loop {
        tokio::time::sleep(READ_AGAIN).await;
        for (file, known) in &known.0 {
            let now = digest(file);
            // Twice the same: nobody is writing it. A file that somebody writes all the time starts
            // windlass again once a minute at most.
            let is_settled = before.insert(file, now) == Some(now);
            let is_due = known.is_none() || started.elapsed() > CALM;
            let is_new = now.is_some() && now != *known && is_settled && is_due;
            if is_new && Kubeconfig::read_from(file).is_ok() {
                tracing::info!(file = %file.display(), "a kubeconfig changed: windlass starts again with it");
                return;
            }
        }
        if tried.elapsed() < CALM {
            continue;
        }
        tried = Instant::now();
        for name in away {
            let place = settings.clusters.get(name);
            let place = place.map(|(file, context)| (file.as_path(), context.as_deref()));
            if cluster(settings, name, place, &events).await.is_ok() {
                tracing::info!(
                    cluster = name,
                    "a cluster can be used: windlass starts again with it"
                );
                return;
            }
        }
    }
}
