//! The clusters of the settings, and what happens when their kubeconfigs change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::cluster::{Cluster, WatchEvent, connect, connect_as};
use crate::config::Settings;

/// How often the kubeconfigs are read again. Kubernetes itself takes a minute to bring a changed
/// Secret into a pod.
const READ_AGAIN: Duration = Duration::from_secs(5);

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
            Err(error) => {
                let why = format!("{error:#}");
                tracing::error!(cluster = name, why, "a cluster cannot be used");
                away.insert(name, why);
            }
        }
    }
    Ok(Clusters { connected, away })
}

async fn cluster(
    settings: &Settings,
    name: &str,
    place: Option<(&std::path::Path, Option<&str>)>,
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
fn digest(file: &std::path::Path) -> Option<[u8; 32]> {
    let content = std::fs::read(file).ok()?;
    Some(Sha256::digest(content).into())
}

/// Waits until a kubeconfig is another one than it was, and can be read.
pub(super) async fn changed(known: &Kubeconfigs) {
    loop {
        tokio::time::sleep(READ_AGAIN).await;
        let is_new = |(file, known): &(&PathBuf, &Option<[u8; 32]>)| {
            let now = digest(file);
            now.is_some() && now != **known
        };
        if let Some((file, _)) = known.0.iter().find(is_new) {
            tracing::info!(file = %file.display(), "a kubeconfig changed: windlass starts again with it");
            return;
        }
    }
}
