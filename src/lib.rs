//! windlass hauls a change from a CI image build to a running Kubernetes
//! cluster, through pull requests: a GitHub App bot with an embedded GitOps
//! reconciler.
//!
//! Reading order, from what is decided to what is done (imports only point
//! down this list's layers; `docs/architecture.md` has the map):
//!
//! 1. [`domain`]: pure decisions
//! 2. adapters, which know the domain and not each other: [`github`], [`git`],
//!    [`render`], [`cluster`], [`registry`], [`events`], [`view`]
//! 3. [`controller`]: observe → decide → act, for three kinds of keys
//! 4. [`server`], [`config`], [`telemetry`], [`listener`], [`cli`], [`operate`], [`plan`], [`rbac`]
//! 5. `sandbox`, a cargo feature: what the demo and the tests stand on
//!
//! This file is the composition root: the only place that spawns the loops.

#![recursion_limit = "256"]

mod domain;

mod cluster;
mod events;
mod git;
mod github;
mod registry;
mod render;
mod view;

mod controller;

pub mod cli;
mod config;
mod http;
mod operate;
mod plan;
mod rbac;
mod telemetry;

#[cfg(feature = "sandbox")]
pub mod sandbox;

/// What stories and benchmarks judge by.
#[doc(hidden)]
pub mod judged_by {
    pub use crate::cluster::home::definitions;
    pub use crate::domain::command::COMMANDS;
    pub use crate::domain::health;
    pub use crate::domain::manifest::{ResourceKey, cleaned};
    pub use crate::domain::mask::Mask;
    pub use crate::domain::plan::{Action, Change, Notes, Proof, came_out};
    pub use crate::domain::yaml;
    pub use crate::domain::{ApplicationKey, OWNER_LABEL};
    pub use crate::render::run::resident;
}

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::home::Home;
use crate::cluster::lease::Holder;
use crate::cluster::{Cluster, connect, connect_as};
use crate::config::Settings;
use crate::controller::heads::Heads;
use crate::controller::{
    Caches, Observer, Queue, Reader, Writer, application, commit, promotion, pull_request,
};
use crate::git::Mirrors;
use crate::github::GitHub;
use crate::http::{Server, listener, router};
use crate::registry::Registry;
use crate::render::{Local, Programs, Renderer, Runner};
use crate::telemetry::Metrics;

/// Serves until `stop`: answers health checks at once, works while it holds the Lease.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    metrics_listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let kubeconfig = settings.kubeconfig.as_deref().map(|path| (path, None));
    let home_client = connect(kubeconfig)
        .await
        .context("cannot connect to the cluster that windlass runs in")?;
    // The Lease's client is its own: nothing that waits there may delay its renewal.
    let holder = Holder::new(
        connect(kubeconfig).await?,
        &settings.namespace,
        &settings.identity,
    );
    let (moved, mut moves) = mpsc::channel(1024);
    let mut places = BTreeMap::from([(
        "local".to_string(),
        kubeconfig.map(|(path, _)| (path.to_path_buf(), None)),
    )]);
    places.extend(
        settings
            .clusters
            .iter()
            .map(|(name, place)| (name.clone(), Some(place.clone()))),
    );
    let accounts: BTreeSet<_> = settings
        .projects
        .projects()
        .iter()
        .filter_map(|project| project.service_account.clone())
        .chain(settings.preview_account.clone())
        .collect();
    let mut clusters = BTreeMap::new();
    for (name, place) in places {
        let place = place
            .as_ref()
            .map(|(path, context)| (path.as_path(), context.as_deref()));
        let context = || format!("cannot connect to cluster `{name}`");
        let mut acting = HashMap::new();
        for account in &accounts {
            acting.insert(
                account.clone(),
                connect_as(place, Some(account))
                    .await
                    .with_context(context)?,
            );
        }
        let client = connect(place).await.with_context(context)?;
        clusters.insert(
            name.clone(),
            Cluster::new(&name, client, moved.clone()).with_accounts(acting),
        );
    }
    let (hints, mut hinted) = mpsc::channel(1024);
    let metrics = Arc::new(Metrics::default());
    let server = Arc::new(Server {
        ctx: OnceLock::new(),
        metrics: metrics.clone(),
        webhook_secrets: settings.webhook_secrets,
        events_token: settings.events_token,
        hints,
        bodies: listener::Bodies::default(),
        events: listener::Bodies::default(),
    });
    let http = tokio::spawn(listener::serve(
        listener,
        router(server.clone()),
        stop.clone(),
    ));
    let measured = tokio::spawn(listener::serve(
        metrics_listener,
        http::metrics_router(server.clone()),
        stop.clone(),
    ));

    let permit = tokio::select! {
        permit = holder.acquire() => permit.context("cannot take the Lease: are deploy/'s roles and the namespace there?")?,
        () = stop.cancelled() => return Ok(()),
    };
    let started = Timestamp::now();
    let runner = match &settings.renderer {
        Some(socket) => Runner::Elsewhere(socket.clone()),
        None => {
            let launcher = if settings.render_without_jail {
                None
            } else {
                Some(std::env::current_exe().context("cannot find this program's own file")?)
            };
            let programs = Programs {
                kustomize: settings.kustomize.clone(),
                helm: settings.helm.clone(),
                launcher,
            };
            Runner::Local(Local::new(programs, settings.cache.join("render"))?)
        }
    };
    let renderer = Renderer::new(runner);
    // A container that has nothing to lose is a jail of its own.
    if settings.renderer.is_none() && !settings.render_without_jail {
        renderer.check_jail().await.map_err(|error| {
            anyhow::anyhow!(
                "renderers cannot be jailed here: {error}. Let them run in a container of their own (`windlass render`, and --renderer: docs/operations.md), or accept it by --render-without-jail"
            )
        })?;
    }
    let reader = Reader {
        github: GitHub::new(
            &settings.api_url,
            settings.credentials.clone(),
            settings.write_interval,
            settings.projects.clone(),
        )?,
        mirrors: Mirrors::new(settings.cache.join("mirrors"))?,
        observer: Observer {
            clusters: Arc::new(clusters),
            projects: Some(settings.projects),
            previews_as: None,
            renderer,
            mask: settings.mask.clone(),
        },
        home: Home::new(home_client, &settings.namespace, &moved),
        metrics,
        promotions: Arc::new(Queue::new("promotion")),
        pulls: Arc::new(Queue::new("pull request")),
        applications: Arc::new(Queue::new("application")),
        commits: Arc::new(Queue::new("commit")),
        registry: Registry::new(settings.registry_auth.as_deref())?,
        cache: Caches::default(),
        preview_account: settings.preview_account,
        previewing: tokio::sync::Semaphore::new(3),
        heads: Heads::new(settings.cache.join("heads"))?,
        seal: settings.seal,
    };
    let ctx = Arc::new(Writer::new(reader, permit));
    // From the first watch to the last write: neither ever waits for somebody to listen.
    let watched = {
        let ctx = ctx.clone();
        async move {
            while let Some(moved) = moves.recv().await {
                ctx.saw(moved);
            }
        }
    };
    let _watched = AbortOnDropHandle::new(tokio::spawn(watched));
    let work = async {
        // What there is comes first, so that no hint finds us without it.
        while let Err(error) = ctx.resync().await {
            tracing::warn!(%error, "cannot read GitHub yet");
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        }
        let _ = server.ctx.set(ctx.clone());
        tracing::info!(listen = %settings.listen, identity = settings.identity, "ready");
        let resyncs = async {
            loop {
                tokio::time::sleep(settings.resync).await;
                if let Err(error) = ctx.resync().await {
                    tracing::warn!(%error, "a resync failed");
                }
            }
        };
        let scans = async {
            let mut since = started;
            loop {
                tokio::time::sleep(settings.delivery_scan).await;
                let now = Timestamp::now();
                match ctx.github.failed_deliveries(since).await {
                    Ok(found) => {
                        for hint in found {
                            let _ = server.hints.send(hint).await;
                        }
                        since = now - jiff::SignedDuration::from_secs(60);
                    }
                    Err(error) => tracing::warn!(%error, "the delivery log could not be read"),
                }
            }
        };
        let followed = async {
            while let Some(hint) = hinted.recv().await {
                if let Err(error) = ctx.follow(hint.clone()).await {
                    tracing::warn!(?hint, %error, "a hint could not be followed yet");
                    tokio::spawn(follow_later(Arc::downgrade(&ctx), hint));
                }
            }
        };
        tokio::join!(resyncs, scans, followed)
    };
    let promotions = ctx.promotions_loop(&stop);
    let pulls = ctx.pulls_loop(&stop);
    let applications = ctx.applications_loop(&stop);
    let commits = ctx.commits_loop(&stop);
    let outcome = tokio::select! {
        _ = work => Ok(()),
        error = holder.keep() => Err(error.context("windlass stops, since it may not write any more")),
        () = stop.cancelled() => Ok(()),
    };
    // What is being written is finished; nothing new is begun.
    stop.cancel();
    let finish = async { tokio::join!(promotions, pulls, applications, commits) };
    if tokio::time::timeout(std::time::Duration::from_secs(8), finish)
        .await
        .is_err()
    {
        tracing::warn!("stopping in the middle of a look: the next start goes on from there");
    }
    let _ = tokio::join!(http, measured);
    // Last: whoever waits for it need not wait until it runs out.
    holder.release().await;
    outcome
}

/// GitHub may be away for a while: a hint is tried again until it can be followed, or the next resync has looked at
/// everything anyway.
async fn follow_later(ctx: std::sync::Weak<controller::Writer>, hint: domain::Hint) {
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
        tokio::time::sleep(std::time::Duration::from_secs(pause)).await;
        let Some(ctx) = ctx.upgrade() else { return };
        match ctx.follow(hint.clone()).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(?hint, %error, "a hint could not be followed yet"),
        }
    }
}

impl Writer {
    fn promotions_loop(self: &Arc<Self>, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
        let (ctx, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            ctx.promotions
                .run(stop, |key| promotion::reconcile(ctx.clone(), key))
                .await
        })
    }

    fn pulls_loop(self: &Arc<Self>, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
        let (ctx, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            ctx.pulls
                .run(stop, |key| pull_request::reconcile(ctx.clone(), key))
                .await
        })
    }

    fn applications_loop(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let (ctx, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            ctx.applications
                .run(stop, |key| application::reconcile(ctx.clone(), key))
                .await
        })
    }

    fn commits_loop(self: &Arc<Self>, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
        let (ctx, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            ctx.commits
                .run(stop, |key| commit::reconcile(ctx.clone(), key))
                .await
        })
    }
}
