//! The clusters of the settings, and what happens when their kubeconfigs change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use kube::config::Kubeconfig;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cluster::{self, Access, AllRegistered, Cluster, WatchEvent, connect, connect_as};
use crate::config::Settings;
use crate::domain::catalog::LOCAL;

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
    let home = settings.home();
    let mut places = BTreeMap::from([(LOCAL, &home)]);
    let others = settings.clusters.iter();
    places.extend(others.map(|(name, access)| (name.as_str(), access)));
    let (mut connected, mut away) = (BTreeMap::new(), BTreeMap::new());
    // Side by side: the program for credentials of one may not answer.
    let made = places.into_iter().map(|(name, access)| async move {
        let made = cluster(settings, name, access, watch_events).await;
        (name, access, made)
    });
    for (name, access, made) in futures::future::join_all(made).await {
        match made {
            Ok(cluster) => drop(connected.insert(name.to_string(), cluster)),
            Err(error) if name == LOCAL => return Err(error),
            // The error may quote the kubeconfig, or the environment of its program.
            Err(_) => {
                let (place, why) = reason(access);
                tracing::error!(cluster = name, place, why, "a cluster cannot be used");
                away.insert(
                    name.to_string(),
                    format!("its kubeconfig cannot be used: {why}"),
                );
            }
        }
    }
    Ok(Clusters { connected, away })
}

/// Adds the clusters that Secrets register to those of the settings, which come first.
pub async fn add_registered(
    settings: &mut Settings,
    client: &Client,
) -> anyhow::Result<AllRegistered> {
    if !settings.cluster_secrets {
        return Ok(AllRegistered::new());
    }
    let all = cluster::registered(client, &settings.namespace, &settings.exec_plugins).await?;
    for (name, one) in &all {
        if name == LOCAL || settings.clusters.contains_key(name) {
            let secret = &one.secret;
            tracing::warn!(
                cluster = name,
                secret,
                "the settings have a cluster of that name: the Secret is not used"
            );
            continue;
        }
        let access = Access::Secret(Box::new(one.clone()));
        settings.clusters.insert(name.clone(), access);
        settings.fleet.0.insert(name.clone(), one.labels.clone());
    }
    Ok(all)
}

/// Where a cluster's kubeconfig is, and why it cannot be used, in words of ours.
fn reason(access: &Access) -> (String, String) {
    let failed = "its context, certificates or program for credentials fail: kubectl with the same kubeconfig says why";
    match access {
        Access::OwnPod => (String::new(), "windlass runs in no cluster".into()),
        Access::File(file, _) => {
            let why = match (file.is_file(), Kubeconfig::read_from(file)) {
                (false, _) => "the file is not there",
                (true, Err(_)) => "the file is no kubeconfig",
                (true, Ok(_)) => failed,
            };
            (file.display().to_string(), why.into())
        }
        Access::Secret(one) => {
            let why = one.kubeconfig.as_ref().err().cloned();
            (one.secret.clone(), why.unwrap_or_else(|| failed.into()))
        }
    }
}

async fn cluster(
    settings: &Settings,
    name: &str,
    access: &Access,
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
        let client = connect_as(access, Some(&account)).await;
        acting.insert(account, client.with_context(context)?);
    }
    let client = connect(access).await.with_context(context)?;
    Ok(Cluster::new(name, client, watch_events.clone()).with_accounts(acting))
}

/// The kubeconfigs as they were read: those of files, by their digests, and those of Secrets.
pub(super) struct Known {
    home: Client,
    files: BTreeMap<PathBuf, Option<[u8; 32]>>,
    registered: AllRegistered,
}

impl Known {
    /// Reads them; the clusters that Secrets register are in the settings then.
    pub(super) async fn read(settings: &mut Settings, home: &Client) -> anyhow::Result<Self> {
        let registered = add_registered(settings, home).await?;
        let own = settings.home();
        let all = settings.clusters.values().chain([&own]);
        let files = all.filter_map(|access| match access {
            Access::File(file, _) => Some((file.clone(), digest(file))),
            Access::OwnPod | Access::Secret(_) => None,
        });
        Ok(Self {
            home: home.clone(),
            files: files.collect(),
            registered,
        })
    }

    /// Waits until a kubeconfig is another one than it was, or until a cluster can be used that
    /// could not.
    pub(super) async fn changed(&self, settings: &Settings, away: &[String]) {
        let secrets = async {
            if !settings.cluster_secrets {
                return std::future::pending().await;
            }
            let (namespace, plugins) = (&settings.namespace, &settings.exec_plugins);
            cluster::other_than(&self.registered, &self.home, namespace, plugins).await;
            tracing::info!("the Secrets of clusters changed: windlass starts again with them");
        };
        tokio::select! {
            () = secrets => {}
            () = files_changed(settings, &self.files, away) => {}
        }
    }
}

/// The digest of a file; None: it cannot be read.
fn digest(file: &Path) -> Option<[u8; 32]> {
    let content = std::fs::read(file).ok()?;
    Some(Sha256::digest(content).into())
}

/// Waits until a file is another one than it was, and complete; or until a cluster can be used that
/// could not.
async fn files_changed(
    settings: &Settings,
    files: &BTreeMap<PathBuf, Option<[u8; 32]>>,
    away: &[String],
) {
    let (started, mut before) = (Instant::now(), BTreeMap::new());
    let (events, _unheard) = mpsc::channel(1);
    let mut tried = started;
    loop {
        tokio::time::sleep(READ_AGAIN).await;
        for (file, known) in files {
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
            let Some(access) = settings.clusters.get(name) else {
                continue;
            };
            if cluster(settings, name, access, &events).await.is_ok() {
                tracing::info!(
                    cluster = name,
                    "a cluster can be used: windlass starts again with it"
                );
                return;
            }
        }
    }
}
