//! What a plan reads besides Git: the clusters, and windlass's own objects in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use tokio::sync::{Semaphore, mpsc};

use super::flags::PlaceArgs;
use crate::cluster::store::Application;
use crate::cluster::{Access, Cluster, connect};
use crate::config::{self, fleet, optional, program};
use crate::controller::{APPLICATIONS_AT_ONCE, Configured, Environment};
use crate::domain::catalog::{Catalog, LOCAL, Reconciler};
use crate::domain::fence::Projects;
use crate::domain::mask::Mask;
use crate::domain::sops::{Keys, ProjectKeys};
use crate::domain::{Invalid, RepoName};
use crate::git::Mirror;
use crate::random;
use crate::render::{Fetcher, Programs, Renderer, Runner, Sources};

fn kubeconfig(args: &PlaceArgs) -> anyhow::Result<PathBuf> {
    let default = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    args.kubeconfig
        .clone()
        .or_else(default)
        .context("no kubeconfig: give --kubeconfig")
}

/// A client of the cluster `local`.
pub(super) async fn client(args: &PlaceArgs) -> anyhow::Result<Client> {
    connect(&Access::File(kubeconfig(args)?, args.context.clone()))
        .await
        .context("cannot connect to the cluster")
}

/// The `Application` objects; empty if windlass was never installed.
pub(super) async fn objects(args: &PlaceArgs) -> anyhow::Result<BTreeMap<String, Application>> {
    let client = client(args).await?;
    // Who may not list them is refused even where nothing of windlass is installed.
    let groups = client.list_api_groups().await;
    let groups = groups.context("cannot read which APIs the cluster serves")?;
    let group = <Application as kube::Resource>::group(&());
    if !groups.groups.iter().any(|served| served.name == group) {
        return Ok(BTreeMap::new());
    }
    let api = Api::<Application>::namespaced(client, &args.namespace);
    match api.list(&ListParams::default()).await {
        Ok(found) => Ok(found.items.into_iter().filter_map(|object| Some((object.metadata.name.clone()?, object))).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(BTreeMap::new()),
        Err(error) => Err(anyhow::Error::from(error).context(format!(
            "cannot read windlass's objects in the namespace {} (--namespace): without them everything would look new",
            args.namespace
        ))),
    }
}

fn by_remote(mirror: &Mirror) -> Option<RepoName> {
    RepoName::of_url(&mirror.origin()?)
}

/// The repository's name as far as the working copy says it. `given`: as a flag says it.
pub(super) fn named(given: Option<&RepoName>, mirror: &Mirror) -> anyhow::Result<RepoName> {
    match given.cloned().or_else(|| by_remote(mirror)) {
        Some(name) => Ok(name),
        None => Ok(UNNAMED.parse()?),
    }
}

/// A repository without a remote.
const UNNAMED: &str = "local/config";

/// Which of windlass's config repositories this is, and its id, which is part of the owner label.
pub(super) fn repository(
    args: &PlaceArgs,
    mirror: &Mirror,
    known: &BTreeMap<String, Application>,
) -> anyhow::Result<(RepoName, u64)> {
    let all: BTreeMap<_, _> = known
        .values()
        .map(|object| (object.spec.repository.clone(), object.spec.repository_id))
        .collect();
    let by_remote = by_remote(mirror);
    let names = || {
        all.keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match (args.repository.clone(), by_remote) {
        (Some(named), _) => Some(named),
        (None, Some(remote)) if all.contains_key(&remote) || all.is_empty() => Some(remote),
        // Under the wrong name, all objects of another repository would look like this one's.
        (None, Some(remote)) => {
            bail!(
                "origin is {remote}, and windlass manages {} in this cluster: plan it all the same with --repository {remote}, or name the one that this is a copy of",
                names()
            )
        }
        (None, None) if all.len() == 1 => all.keys().next().cloned(),
        (None, None) => None,
    };
    match found {
        Some(name) => {
            let id = all.get(&name).copied().unwrap_or_default();
            Ok((name, u64::try_from(id).unwrap_or_default()))
        }
        // No object has windlass's owner label yet, so the name does not matter.
        None if all.is_empty() => Ok((UNNAMED.parse()?, 0)),
        None => bail!(
            "windlass manages several repositories in this cluster: choose one with --repository: {}",
            names()
        ),
    }
}

/// The environment of the clusters that the base's stages name. `work`: a folder for temporary
/// folders; `released`: see [`Environment::released`].
pub(super) async fn environment(
    args: &PlaceArgs,
    work: PathBuf,
    catalog: &Result<Configured, Invalid>,
    released: BTreeMap<String, Reconciler>,
) -> anyhow::Result<Environment> {
    let (moved, mut moves) = mpsc::channel(1024);
    // Nobody waits for watch events.
    tokio::spawn(async move { while moves.recv().await.is_some() {} });
    let contexts = contexts(args, catalog)?;
    let path = kubeconfig(args)?;
    let mut clusters = BTreeMap::new();
    for (name, context) in contexts {
        let client = connect(&Access::File(path.clone(), context)).await;
        let client = client.with_context(|| format!("cannot connect to cluster `{name}`"))?;
        clusters.insert(name.clone(), Cluster::new(&name, client, moved.clone()));
    }
    let programs = programs(args)?;
    // A random key for this run: digests of hidden values are only compared with each other.
    let mut key = [0u8; 32];
    random::fill(&mut key)?;
    let projects = match &args.projects {
        Some(file) => Some(Projects::new(
            config::projects(Some(file), &[], None)?,
            &args.namespace,
        )),
        None => None,
    };
    let mut renderer = Renderer::new(Runner::local(programs, work.clone())?);
    if let Some(file) = &args.sources {
        let fetcher = Fetcher::without_authorities(Sources::read(file)?, work.join("fetched"))?;
        renderer = renderer.fetching(fetcher);
    }
    Ok(Environment {
        released: Arc::new(released),
        clusters: Arc::new(clusters),
        away: Arc::default(),
        fleet: Arc::new(fleet(&args.cluster_labels)?),
        previews_as: None,
        projects,
        keys: ProjectKeys {
            others: own_keys()?,
            ..ProjectKeys::default()
        },
        renderer,
        mask: Mask::new(&key),
        github_host: None,
        applications: Arc::new(Semaphore::new(APPLICATIONS_AT_ONCE)),
    })
}

/// The age keys of the person, where `sops` finds them too
/// (getsops/sops README, "Encrypting using age").
fn own_keys() -> anyhow::Result<Keys> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(text) = set("SOPS_AGE_KEY") {
        return Keys::parse_own(&text.to_string_lossy()).context("SOPS_AGE_KEY");
    }
    let named = set("SOPS_AGE_KEY_FILE").map(PathBuf::from);
    let home = |folder: &str| set("HOME").map(|home| PathBuf::from(home).join(folder));
    let folders = [
        set("XDG_CONFIG_HOME").map(PathBuf::from),
        home(".config"),
        home("Library/Application Support"),
    ];
    let files = folders.into_iter().flatten();
    let mut files = files.map(|folder| folder.join("sops/age/keys.txt"));
    let Some(file) = named.or_else(|| files.find(|file| file.is_file())) else {
        return Ok(Keys::default());
    };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the age keys {}", file.display()))?;
    Keys::parse_own(&text).with_context(|| file.display().to_string())
}

/// Sets the base's health rules for custom kinds.
pub(super) async fn set_health_rules(
    environment: &Environment,
    repo: &RepoName,
    catalog: &Result<Configured, Invalid>,
) {
    if let Ok(configured) = catalog {
        for cluster in environment.clusters.values() {
            cluster
                .index
                .set_rules(repo, &configured.catalog.health, &Default::default())
                .await;
        }
    }
}

/// Each cluster's context: the given one, or the one of the same name, or the default one.
fn contexts(
    args: &PlaceArgs,
    catalog: &Result<Configured, Invalid>,
) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let mut contexts = BTreeMap::new();
    for text in &args.clusters {
        let (name, context) = text
            .split_once('=')
            .with_context(|| format!("--cluster: `{text}` is not NAME=CONTEXT"))?;
        contexts.insert(name.to_string(), Some(context.to_string()));
    }
    let known = Kubeconfig::read_from(kubeconfig(args)?)?.contexts;
    let is_known = |name: &str| known.iter().any(|context| context.name == name);
    for cluster in clusters(catalog) {
        contexts
            .entry(cluster.to_string())
            .or_insert_with(|| match is_known(cluster) {
                true => Some(cluster.to_string()),
                false => args.context.clone(),
            });
    }
    Ok(contexts)
}

/// The clusters that the configuration names.
fn clusters(catalog: &Result<Configured, Invalid>) -> BTreeSet<&str> {
    let configured = catalog.as_ref().ok();
    let catalog = configured.into_iter().map(|configured| &configured.catalog);
    catalog.flat_map(Catalog::cluster_names).collect()
}

/// A note if several clusters, or one with a name of its own, are compared with the default context.
pub(super) fn shared_context(
    args: &PlaceArgs,
    catalog: &Result<Configured, Invalid>,
) -> anyhow::Result<Option<String>> {
    let contexts = contexts(args, catalog)?;
    let shared: Vec<&str> = clusters(catalog)
        .into_iter()
        .filter(|cluster| contexts[*cluster] == args.context)
        .collect();
    let [.., last] = shared[..] else {
        return Ok(None);
    };
    if shared == [LOCAL] {
        return Ok(None);
    }
    let which = match &args.context {
        Some(context) => format!("the context `{context}`"),
        None => "the current context of the kubeconfig".into(),
    };
    let are = if shared.len() > 1 { "are all" } else { "is" };
    Ok(Some(format!(
        "{} {are} compared with {which}: name another one by --cluster {last}=CONTEXT",
        shared.join(", ")
    )))
}

fn programs(args: &PlaceArgs) -> anyhow::Result<Programs> {
    let launcher = if args.render_without_jail {
        None
    } else {
        Some(std::env::current_exe()?)
    };
    let helm = match &args.helm {
        Some(helm) => Some(program("helm", helm)?),
        // Found on the PATH, or not needed.
        None => program("helm", &PathBuf::from("helm")).ok(),
    };
    Ok(Programs {
        kustomize: config::kustomize(&args.kustomize)?,
        helm,
        warm: optional("warm-renderer", args.warm_renderer.as_ref())?,
        launcher,
    })
}
