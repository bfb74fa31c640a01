//! The composition root: builds the reader, the writer and the server, and spawns the loops.

use std::fmt::Display;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::connect;
use crate::cluster::lease::Holder;
use crate::cluster::store::Store;
use crate::config::{Settings, web_host};
use crate::controller::activity::{self, Activities};
use crate::controller::heads::Heads;
use crate::controller::{
    APPLICATIONS_AT_ONCE, Caches, Environment, Queue, Reader, Requeue, Writer, application,
    base_branch, commit, notify, promotion, pull_request,
};
use crate::domain::permit::WritePermit;
use crate::events::{Oidc, Senders, issuer_of};
use crate::git::Mirrors;
use crate::github::GitHub;
use crate::http::{Server, Sessions, listener, router};
use crate::notifications::Notifier;
use crate::registry::Registry;
use crate::render::{Fetcher, Programs, Renderer, Runner, Sources};
use crate::telemetry::Metrics;
use crate::{controller, http, outgoing};

mod clusters;
mod sources;

use clusters::Known;
pub use clusters::{Clusters, add_registered, clusters};
use sources::sources;

/// Whose image events are taken; None with `--preview-only`.
fn senders(settings: &Settings) -> anyhow::Result<Option<Senders>> {
    let oidc = settings.events_audience.as_ref().map(|audience| {
        let issuer = settings.events_issuer.clone();
        let issuer = issuer.unwrap_or_else(|| issuer_of(&settings.api_url));
        Oidc::new(&issuer, audience, &settings.outgoing)
    });
    let senders = Senders {
        token: settings.events_token.clone(),
        oidc: oidc.transpose()?,
    };
    Ok((senders.token.is_some() || senders.oidc.is_some()).then_some(senders))
}

/// The sign-in to the page; None: there is none.
fn sessions(settings: &Settings) -> anyhow::Result<Option<Sessions>> {
    let Some(page) = &settings.page else {
        return Ok(None);
    };
    let (api, outgoing) = (&settings.api_url, &settings.outgoing);
    let secret = page.client_secret.clone();
    Sessions::new(api, &page.address, secret, outgoing).map(Some)
}

/// Why it does not serve any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// A kubeconfig changed: it is to be started again, with the new one.
    Reload,
}

/// Serves until `stop`: answers health checks at once, and reconciles while it holds the Lease.
pub async fn run(
    mut settings: Settings,
    listener: TcpListener,
    metrics_listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<Ended> {
    let home_client = connect(&settings.home())
        .await
        .context("cannot connect to the cluster that windlass runs in")?;
    let known = Known::read(&mut settings, &home_client).await?;
    // The Lease has a client of its own: no other request may delay its renewal. Who only previews
    // has no Lease, since it writes to no cluster.
    let holder = match settings.preview_only {
        true => None,
        false => Some(Holder::new(
            connect(&settings.home()).await?,
            &settings.namespace,
            &settings.identity,
        )),
    };
    let (watch_events, mut received_events) = mpsc::channel(1024);
    let clusters = clusters(&settings, &watch_events).await?;
    let away: Vec<_> = clusters.away.keys().cloned().collect();
    let changed = || known.changed(&settings, &away);
    let metrics = Arc::new(Metrics::default());
    let server = Arc::new(Server {
        ctx: OnceLock::new(),
        metrics: metrics.clone(),
        webhook_secrets: settings.webhook_secrets.clone(),
        senders: senders(&settings)?,
        bodies: listener::Bodies::default(),
        events: listener::Bodies::default(),
        sessions: sessions(&settings)?,
    });
    let serve = |socket, router| tokio::spawn(listener::serve(socket, router, stop.clone()));
    let http = serve(listener, router(server.clone()));
    let metrics_http = serve(metrics_listener, http::metrics_router(server.clone()));

    let permit = tokio::select! {
        permit = permit(holder.as_ref()) => permit?,
        () = stop.cancelled() => return Ok(Ended::Stopped),
        () = changed() => return Ok(Ended::Reload),
    };
    let started = Timestamp::now();
    let store = match settings.preview_only {
        true => Store::none(home_client, &settings.namespace),
        false => Store::new(home_client, &settings.namespace, &watch_events),
    };
    let reader = reader(&settings, clusters, store, metrics).await?;
    let ctx = Arc::new(Writer::new(reader, permit));
    // It runs from the first watch to the last write, so that a full channel blocks neither.
    let watch_loop = {
        let ctx = ctx.clone();
        async move {
            while let Some(event) = received_events.recv().await {
                ctx.on_watch_event(event);
            }
        }
    };
    let _watch_task = AbortOnDropHandle::new(tokio::spawn(watch_loop));
    let _events_task = (!settings.preview_only)
        .then(|| AbortOnDropHandle::new(tokio::spawn(activity::write_events(ctx.clone()))));
    let _notify_task = match &settings.notifications {
        Some(channels) => {
            let notifier = Notifier::start(channels.clone(), &settings.outgoing)?;
            let task = notify::notify(ctx.clone(), notifier);
            Some(AbortOnDropHandle::new(tokio::spawn(task)))
        }
        None => None,
    };
    let loops = loops(&ctx, &stop);
    let outcome = tokio::select! {
        () = sources(&ctx, &server, &settings, started) => Ok(Ended::Stopped),
        () = changed() => Ok(Ended::Reload),
        error = keep(holder.as_ref()) => Err(error.context("windlass stops, since it may not write any more")),
        () = stop.cancelled() => Ok(Ended::Stopped),
    };
    // Running reconciles finish; no new one starts.
    stop.cancel();
    if tokio::time::timeout(LAST_WRITES, futures::future::join_all(loops))
        .await
        .is_err()
    {
        tracing::warn!(
            "stopping in the middle of a reconcile: the next start continues from there"
        );
        ctx.heads.cancel();
    }
    let _ = tokio::join!(http, metrics_http);
    // Last: the next holder need not wait until the Lease expires.
    if let Some(holder) = &holder {
        holder.release().await;
    }
    outcome
}

/// The right to write, once nobody else has it.
async fn permit(holder: Option<&Holder>) -> anyhow::Result<WritePermit> {
    let Some(holder) = holder else {
        return Ok(WritePermit::to_preview());
    };
    holder
        .acquire()
        .await
        .context("cannot take the Lease: are deploy/'s roles and the namespace there?")
}

/// Returns once the right to write is lost.
async fn keep(holder: Option<&Holder>) -> anyhow::Error {
    match holder {
        Some(holder) => holder.keep().await,
        None => std::future::pending().await,
    }
}

fn loops(ctx: &Arc<Writer>, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
    let mut loops = vec![
        work(ctx, &ctx.repositories, stop, base_branch::reconcile),
        work(ctx, &ctx.pulls, stop, pull_request::reconcile),
    ];
    if !ctx.preview_only {
        loops.extend([
            work(ctx, &ctx.groups, stop, pull_request::reconcile_group),
            work(ctx, &ctx.promotions, stop, promotion::reconcile),
            work(ctx, &ctx.applications, stop, application::reconcile),
            work(ctx, &ctx.commits, stop, commit::reconcile),
        ]);
    }
    loops
}

/// How long running reconciles may take to finish when windlass stops.
const LAST_WRITES: Duration = Duration::from_secs(8);

/// The most previews that are made at the same time.
const PREVIEWS_AT_ONCE: usize = 3;

/// The renderer. An error if its processes cannot be jailed and the settings do not accept that.
pub async fn renderer(settings: &Settings) -> anyhow::Result<Renderer> {
    let runner = match &settings.renderer {
        Some(socket) => Runner::Remote(socket.clone()),
        None => {
            let launcher = if settings.render_without_jail {
                None
            } else {
                Some(std::env::current_exe().context("cannot find this program's own file")?)
            };
            let programs = Programs {
                kustomize: settings.kustomize.clone(),
                helm: settings.helm.clone(),
                warm: settings.warm_renderer.clone(),
                launcher,
            };
            Runner::local(programs, settings.cache.join("render"))?
        }
    };
    let mut renderer = Renderer::new(runner);
    if let Some(file) = &settings.sources {
        let sources = Sources::read(file)?;
        let folder = settings.cache.join("fetched");
        renderer = renderer.fetching(Fetcher::new(sources, folder, &settings.outgoing)?);
    }
    // A renderer container without secrets is a jail of its own.
    if settings.renderer.is_none() && !settings.render_without_jail {
        renderer.check_jail().await.map_err(|error| {
            anyhow::anyhow!(
                "renderers cannot be jailed here: {error}. Run them in a container of their own (`windlass render` and --renderer, see docs/operations.md), or accept the risk with --render-without-jail"
            )
        })?;
    }
    Ok(renderer)
}

pub async fn reader(
    settings: &Settings,
    clusters: Clusters,
    store: Store,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Reader> {
    if let Some(proxy) = outgoing::proxy_of(&settings.api_url) {
        tracing::info!(%proxy, "GitHub is reached through a proxy");
    }
    Ok(Reader {
        github: GitHub::new(
            &settings.api_url,
            settings.credentials.clone(),
            settings.write_interval,
            settings.projects.clone(),
            &settings.outgoing,
        )?,
        mirrors: Mirrors::new(
            settings.cache.join("mirrors"),
            settings.outgoing.clone(),
            settings.fetch_depth,
        )?,
        environment: Environment {
            released: Arc::default(),
            clusters: Arc::new(clusters.connected),
            away: Arc::new(clusters.away),
            fleet: Arc::new(settings.fleet.clone()),
            projects: Some(settings.projects.clone()),
            keys: settings.keys.clone(),
            previews_as: None,
            renderer: renderer(settings).await?,
            mask: settings.mask.clone(),
            github_host: Some(web_host(&settings.api_url)),
            applications: Arc::new(tokio::sync::Semaphore::new(APPLICATIONS_AT_ONCE)),
        },
        store,
        metrics,
        repositories: Arc::new(Queue::new("repository")),
        groups: Arc::new(Queue::new("merge group")),
        promotions: Arc::new(Queue::new("promotion")),
        pulls: Arc::new(Queue::new("pull request")),
        applications: Arc::new(Queue::new("application")),
        commits: Arc::new(Queue::new("commit")),
        registry: Registry::new(settings.registry_auth.as_deref(), settings.outgoing.clone())?,
        cache: Caches::default(),
        activities: Activities::default(),
        preview_account: settings.preview_account.clone(),
        previewing: tokio::sync::Semaphore::new(PREVIEWS_AT_ONCE),
        heads: Heads::new(settings.cache.join("heads"))?,
        seal: settings.seal.clone(),
        preview_only: settings.preview_only,
    })
}

/// One loop: reconciles the keys of its queue, until `stop`.
fn work<K, F>(
    ctx: &Arc<Writer>,
    queue: &Arc<Queue<K>>,
    stop: &CancellationToken,
    reconcile: impl Fn(Arc<Writer>, K) -> F + Send + Sync + 'static,
) -> JoinHandle<()>
where
    K: Clone + Eq + Hash + Display + Send + Sync + 'static,
    F: Future<Output = controller::Result<Requeue>> + Send + 'static,
{
    let (ctx, queue, stop) = (ctx.clone(), queue.clone(), stop.clone());
    tokio::spawn(async move { queue.run(stop, |key| reconcile(ctx.clone(), key)).await })
}
