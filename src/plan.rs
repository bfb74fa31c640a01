//! `windlass plan`: what a change of the config repository would do to the
//! clusters, asked from a working copy, without windlass's server and without
//! GitHub. The same code makes the preview of a pull request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cluster::home::Application;
use crate::cluster::{Cluster, connect};
use crate::config::{self, program};
use crate::controller::preview::Touched;
use crate::controller::{Configured, Observer, claims, configuration, preview};
use crate::domain::fence::Projects;
use crate::domain::mask::Mask;
use crate::domain::plan::{Change, Proof};
use crate::domain::pull_request::{Failure, Preview};
use crate::domain::{ApplicationKey, Invalid, RepoName};
use crate::git::Mirror;
use crate::render::{Local, Programs, Renderer, Runner, Source};
use crate::view;

/// `windlass plan`: exit code 0 where nothing changes, 1 where something does, 2 where it cannot be told.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    /// The config repository's working copy, or a bare repository
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    repo: PathBuf,

    /// The repository's name on GitHub, as owner/name, where the remote `origin` does not tell it
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<RepoName>,

    /// The branch or commit that the change goes into; its windlass.yaml counts (default: the remote's default branch, as it
    /// was fetched last, or `main` where there is no remote)
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,

    /// The branch or commit with the change; it is merged into the base as GitHub would (default: the working copy as it is,
    /// with what is not committed)
    #[arg(long, value_name = "REVISION")]
    head: Option<String>,

    /// Kubeconfig to reach the clusters by (default: as kubectl finds it)
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of that kubeconfig for the cluster `local`, and for those that --cluster does not name
    #[arg(long)]
    context: Option<String>,

    /// A cluster that windlass.yaml names: NAME=CONTEXT. Repeat for more
    #[arg(long = "cluster", value_name = "NAME=CONTEXT")]
    clusters: Vec<String>,

    /// The namespace that windlass's own objects are in: what it owns is read there
    #[arg(long, short, default_value = "windlass", env = "WINDLASS_NAMESPACE")]
    namespace: String,

    /// Only these applications, as shop/production. Repeat for more
    #[arg(long = "application", value_name = "APPLICATION/STAGE")]
    applications: Vec<String>,

    /// How the plan is printed; markdown is the comment of a pull request
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// The kustomize program
    #[arg(
        long,
        env = "WINDLASS_KUSTOMIZE",
        default_value = "kustomize",
        value_name = "PROGRAM"
    )]
    kustomize: PathBuf,

    /// The helm program; without it charts are not rendered
    #[arg(long, env = "WINDLASS_HELM", value_name = "PROGRAM")]
    helm: Option<PathBuf>,

    /// File with the projects of the server's settings, to have said what windlass would refuse
    #[arg(long, env = "WINDLASS_PROJECTS", value_name = "FILE")]
    projects: Option<PathBuf>,

    /// Render though this kernel cannot jail the renderers
    #[arg(long)]
    render_without_jail: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Markdown,
}

/// What is printed, and the exit code.
pub async fn plan(args: &PlanArgs) -> anyhow::Result<(String, ExitCode)> {
    let (preview, notes) = look(args).await?;
    let text = match args.output {
        Output::Text => {
            notes
                .iter()
                .map(|note| format!("note: {note}\n"))
                .collect::<String>()
                + &view::terminal(&preview)
        }
        Output::Json => {
            let mut json = as_json(&preview);
            json["notes"] = notes.into();
            serde_json::to_string_pretty(&json)? + "\n"
        }
        Output::Markdown => view::preview(&preview).comment.text,
    };
    let changes = preview.applications.iter().any(|app| !app.plan.is_empty());
    let code = match (preview.ok(), changes) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    };
    Ok((text, code))
}

/// The preview, and what to know about what it was made of.
async fn look(args: &PlanArgs) -> anyhow::Result<(Preview, Vec<String>)> {
    let started = std::time::Instant::now();
    let mirror = Mirror::discover(&args.repo)
        .with_context(|| format!("{} is no git repository", args.repo.display()))?;
    let resolve = |revision: &str| {
        mirror.revision(revision).with_context(|| {
            format!(
                "`{revision}` is no branch or commit of {}",
                args.repo.display()
            )
        })
    };
    let onto = match &args.base {
        Some(base) => base.clone(),
        None => ["origin/HEAD", "origin/main"]
            .iter()
            .find(|name| mirror.revision(name).is_ok())
            .map_or("main", |name| name)
            .to_string(),
    };
    let (base, mut head) = (
        resolve(&onto)?,
        resolve(args.head.as_deref().unwrap_or("HEAD"))?,
    );
    let mut notes = Vec::new();
    let behind = mirror.ahead(&base, &head)?;
    if behind > 0 {
        let what = args.head.as_deref().unwrap_or("HEAD");
        notes.push(format!(
            "`{what}` is {behind} commit{} behind `{onto}`: it is merged into that, as GitHub would",
            if behind == 1 { "" } else { "s" }
        ));
    }
    if args.head.is_none()
        && let Some((commit, files)) = mirror.working_copy(&head)?
    {
        let shown: Vec<_> = files.iter().take(10).map(String::as_str).collect();
        let more = files.len().saturating_sub(shown.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        notes.push(format!(
            "what is not committed is planned too: {}{more}",
            shown.join(", ")
        ));
        head = commit;
    }
    let source = Source::open(&mirror, mirror.tree(&base)?)?;
    let Some(catalog) = configuration(&source)? else {
        bail!("`{onto}` has no windlass.yaml: it is no config repository");
    };
    let look = preview::look_at_git(&mirror, Some(&catalog), &base, &head)?;
    let unmatched = preview::unmatched(&mirror, &source, &catalog, look.changes.merged)?;
    if !unmatched.is_empty() {
        bail!("{}", unmatched.join("\n"));
    }
    let all = objects(args).await?;
    let (repo, id) = repository(args, &mirror, &all)?;
    let known: BTreeMap<_, _> = all
        .into_iter()
        .filter(|(_, object)| object.spec.repository == repo)
        .collect();
    let work = tempfile::Builder::new()
        .prefix("windlass-plan-")
        .tempdir()?;
    let observer = observer(args, work.path().to_path_buf(), &catalog).await?;
    if let Ok(configured) = &catalog {
        for cluster in observer.clusters.values() {
            cluster
                .index
                .set_rules(&repo, &configured.catalog.health, &Default::default())
                .await;
        }
    }
    let claims = match look.inputs.is_empty() {
        true => claims::Claims::default(),
        false => claims::of(|_| &observer, &repo, id, &look.heads).await?,
    };
    let titles: Vec<_> = look
        .heads
        .iter()
        .map(|(target, _)| target.key(&repo).title())
        .collect();
    if let Some(unknown) = args
        .applications
        .iter()
        .find(|title| !titles.contains(title))
    {
        bail!(
            "there is no application `{unknown}`; there are: {}",
            titles.join(", ")
        );
    }
    let mut applications = Vec::new();
    for Touched {
        target,
        before,
        after,
        in_base,
    } in look.inputs
    {
        let key: ApplicationKey = target.key(&repo);
        if args.applications.is_empty() || args.applications.contains(&key.title()) {
            let object = match known.get(&key.object_name()) {
                Some(object) => Some((
                    object,
                    preview::synced_of(&mirror, object, &target, &before)?,
                )),
                None => None,
            };
            applications.push(
                preview::application(
                    &observer,
                    &repo,
                    id,
                    (target, in_base),
                    (before, after),
                    &claims,
                    object,
                )
                .await?,
            );
        }
    }
    let preview = Preview {
        head,
        base,
        applications,
        total: look.total,
        failure: look.failure,
        duration: started.elapsed(),
    };
    Ok((preview, notes))
}

fn kubeconfig(args: &PlanArgs) -> anyhow::Result<PathBuf> {
    let default = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    args.kubeconfig
        .clone()
        .or_else(default)
        .context("no kubeconfig: give --kubeconfig")
}

/// What windlass keeps of its applications; nothing where it was never installed.
async fn objects(args: &PlanArgs) -> anyhow::Result<BTreeMap<String, Application>> {
    let client = connect(Some((&kubeconfig(args)?, args.context.as_deref())))
        .await
        .context("cannot connect to the cluster")?;
    let api = Api::<Application>::namespaced(client, &args.namespace);
    match api.list(&ListParams::default()).await {
        Ok(found) => Ok(found.items.into_iter().filter_map(|object| Some((object.metadata.name.clone()?, object))).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(BTreeMap::new()),
        Err(error) => Err(anyhow::Error::from(error).context(format!(
            "what windlass owns could not be read in the namespace {} (--namespace): without it everything would look new",
            args.namespace
        ))),
    }
}

/// Which of the repositories that windlass looks after this is, and its number, which is part of what marks our objects.
fn repository(
    args: &PlanArgs,
    mirror: &Mirror,
    known: &BTreeMap<String, Application>,
) -> anyhow::Result<(RepoName, u64)> {
    let all: BTreeMap<_, _> = known
        .values()
        .map(|object| (object.spec.repository.clone(), object.spec.repository_id))
        .collect();
    let by_remote = mirror.origin().and_then(|url| {
        let path = url
            .trim_end_matches('/')
            .trim_end_matches(".git")
            .replace(':', "/");
        let mut parts = path.rsplit('/');
        let (name, owner) = (parts.next()?.to_string(), parts.next()?.to_string());
        format!("{owner}/{name}").parse::<RepoName>().ok()
    });
    let names = || {
        all.keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match (args.repository.clone(), by_remote) {
        (Some(named), _) => Some(named),
        (None, Some(remote)) if all.contains_key(&remote) || all.is_empty() => Some(remote),
        // Under another's name everything of it would look like this one's.
        (None, Some(remote)) => {
            bail!(
                "origin is {remote}, which windlass does not look after here: say which this is by --repository: {}",
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
        // Nothing carries windlass's mark yet, whatever the repository is called.
        None if all.is_empty() => Ok(("local/config".parse::<RepoName>()?, 0)),
        None => bail!(
            "windlass looks after several repositories here: say which this is by --repository: {}",
            names()
        ),
    }
}

async fn observer(
    args: &PlanArgs,
    work: PathBuf,
    catalog: &Result<Configured, Invalid>,
) -> anyhow::Result<Observer> {
    let mut contexts = BTreeMap::new();
    for text in &args.clusters {
        let (name, context) = text
            .split_once('=')
            .with_context(|| format!("--cluster: `{text}` is not NAME=CONTEXT"))?;
        contexts.insert(name.to_string(), Some(context.to_string()));
    }
    let stages = catalog
        .as_ref()
        .map(|configured| configured.catalog.stages.as_slice())
        .unwrap_or_default();
    for stage in stages {
        contexts
            .entry(stage.cluster.clone())
            .or_insert_with(|| args.context.clone());
    }
    let (moved, mut moves) = mpsc::channel(1024);
    // Nobody waits for what the watches see.
    tokio::spawn(async move { while moves.recv().await.is_some() {} });
    let path = kubeconfig(args)?;
    let mut clusters = BTreeMap::new();
    for (name, context) in contexts {
        let client = connect(Some((&path, context.as_deref()))).await;
        let client = client.with_context(|| format!("cannot connect to cluster `{name}`"))?;
        clusters.insert(name.clone(), Cluster::new(&name, client, moved.clone()));
    }
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
    let programs = Programs {
        kustomize: program("kustomize", &args.kustomize)?,
        helm,
        launcher,
    };
    // The key is this run's own: digests of hidden values are only compared with each other.
    let mut key = [0u8; 32];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random
        .fill(&mut key)
        .map_err(|_| anyhow::anyhow!("this system has no randomness"))?;
    let projects = match &args.projects {
        Some(file) => Some(Projects::new(
            config::projects(Some(file), &[])?,
            &args.namespace,
        )),
        None => None,
    };
    Ok(Observer {
        clusters: std::sync::Arc::new(clusters),
        previews_as: None,
        projects,
        renderer: Renderer::new(Runner::Local(Local::new(programs, work)?)),
        mask: Mask::new(&key),
    })
}

// ---- what is printed

/// The stable form for programs: `docs/reference.md` describes it.
fn as_json(preview: &Preview) -> Value {
    let change = |change: &Change| {
        json!({
            "object": change.key, "version": change.version, "action": change.action.word(), "hook": change.notes.hook,
            "proof": match change.proof { Proof::Server => "server", Proof::Simulated => "simulated", Proof::Static => "static" },
            "before": change.before, "after": change.after, "problem": change.problem, "warnings": change.notes.warnings,
        })
    };
    let applications = preview.applications.iter().map(|app| {
        let all = |plan: &crate::domain::plan::Plan| plan.effective().map(change).collect::<Vec<_>>();
        json!({
            "application": app.key.title(), "cluster": app.cluster, "error": app.error, "notes": app.notes,
            "changes": all(&app.plan), "drift": all(&app.drift), "waiting": all(&app.waiting), "unmoved": app.unmoved,
        })
    });
    let failure = preview.failure.as_ref().map(|failure| match failure {
        Failure::Conflict(files) => format!("conflict: {}", files.join(", ")),
        Failure::Configuration(why) | Failure::TooLarge(why) => why.clone(),
        Failure::Killed => "killed".into(),
        Failure::Fork => "fork".into(),
    });
    json!({"version": 1, "base": preview.base, "head": preview.head, "digest": preview.digest(), "failure": failure, "applications": applications.collect::<Vec<_>>()})
}
