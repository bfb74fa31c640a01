//! Commands for operators of windlass: they only use the `Application` objects,
//! so they also work when GitHub is down.

mod rollback;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::cluster::store::{ADOPT, Application, CONFIRM_PRUNE, HOLD, PAUSE, SYNC_REQUEST};
use crate::cluster::{Access, connect};
use crate::domain::command::Selector;
use crate::domain::{CommitSha, sync};
use status::StatusArgs;

/// Installation windlass runs.
#[derive(Debug, Clone, clap::Args)]
pub struct Installation {
    /// The cluster that windlass runs in (default: as kubectl finds it)
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,

    /// A context of that kubeconfig
    #[arg(long)]
    context: Option<String>,

    /// The namespace that windlass runs in
    #[arg(long, short, default_value = "windlass", env = "WINDLASS_NAMESPACE")]
    namespace: String,
}

/// One application in one stage.
#[derive(Debug, Clone, clap::Args)]
pub struct ApplicationArgs {
    /// The application and its stage, such as `shop/production`
    application: String,

    #[command(flatten)]
    installation: Installation,
}

#[derive(Debug, clap::Subcommand)]
pub enum Operate {
    /// Shows for every application whether it is synced and healthy, its commit and images, and what
    /// it waits for
    Status(StatusArgs),
    /// Shows which commits an application was healthy with, and which failed
    History(ApplicationArgs),
    /// Compares every object of an application with the cluster again, and syncs what differs
    Sync(ApplicationArgs),
    /// Stops syncing an application for a while; the pause ends by itself
    Pause {
        #[command(flatten)]
        args: ApplicationArgs,
        /// For how long: 30m, 2h, 1d
        #[arg(long = "for", default_value = "1h")]
        duration: String,
    },
    /// Keeps windlass from merging anything by itself into an application's stage
    Hold {
        #[command(flatten)]
        args: ApplicationArgs,
        /// Why: everybody who waits reads it
        reason: String,
        /// For how long: 30m, 2h, 1d (default: until `windlass resume`, or /resume in a thread)
        #[arg(long = "for")]
        duration: Option<String>,
    },
    /// Ends a pause, or a hold; of both first the pause
    Resume(ApplicationArgs),
    /// Opens a pull request that takes an application back to its last other healthy commit, and
    /// holds its stage
    Rollback {
        #[command(flatten)]
        args: ApplicationArgs,
        /// The commit to go back to, in full
        #[arg(long)]
        to: Option<CommitSha>,
    },
    /// Confirms the pending deletions of an application, and lists them
    ConfirmPrune(ApplicationArgs),
    /// Lets the first sync change objects that existed before windlass, or continue with another
    /// cluster
    Adopt {
        /// The application and its stage, such as `shop/production`
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        application: Option<String>,

        /// Adopts every application that waits for it
        #[arg(long)]
        all: bool,

        /// With --all: only the applications of this stage
        #[arg(long, requires = "all")]
        stage: Option<String>,

        #[command(flatten)]
        installation: Installation,
    },
}

/// What a command prints, and its exit code.
pub async fn operate(command: Operate) -> anyhow::Result<(String, ExitCode)> {
    let text = match command {
        Operate::Status(args) => return status::status(&args).await,
        Operate::History(args) => status::history(&args).await?,
        Operate::Sync(args) => {
            let request = format!("cli {}", jiff::Timestamp::now());
            annotate(&args, SYNC_REQUEST, Some(&request)).await?;
            format!(
                "sync of {} requested: `windlass status` shows the result\n",
                args.application
            )
        }
        Operate::Pause { args, duration } => {
            if sync::duration(&duration).is_none() {
                bail!("`{duration}` is not a duration: write 30m, 2h or 1d");
            }
            // The time makes it a new request, even with the same duration.
            let request = format!("{duration},{}", jiff::Timestamp::now());
            annotate(&args, PAUSE, Some(&request)).await?;
            format!(
                "{} is paused for {duration}: `windlass resume {0}` ends it\n",
                args.application
            )
        }
        Operate::Hold {
            args,
            reason,
            duration,
        } => rollback::hold(&args, &reason, duration.as_deref()).await?,
        Operate::Resume(args) => resume(&args).await?,
        Operate::Rollback { args, to } => rollback::rollback(&args, to).await?,
        Operate::ConfirmPrune(args) => confirm(&args).await?,
        Operate::Adopt {
            application: Some(application),
            installation,
            ..
        } => {
            adopt(&ApplicationArgs {
                application,
                installation,
            })
            .await?
        }
        Operate::Adopt {
            application: None,
            stage,
            installation,
            ..
        } => adopt_all(&installation, stage.as_deref()).await?,
    };
    Ok((text, ExitCode::SUCCESS))
}

/// What is printed before a command has ended.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn api(installation: &Installation) -> anyhow::Result<Api<Application>> {
    let default = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let path = installation
        .kubeconfig
        .clone()
        .or_else(default)
        .context("no kubeconfig: give --kubeconfig")?;
    let client = connect(&Access::File(path, installation.context.clone()))
        .await
        .context("cannot connect to the cluster")?;
    Ok(Api::namespaced(client, &installation.namespace))
}

fn object_name(application: &str) -> anyhow::Result<String> {
    let names: Vec<_> = application.split('/').collect();
    match names.len() {
        2 | 3 if names.iter().all(|name| !name.is_empty()) => Ok(names.join(".")),
        _ => bail!(
            "`{application}` is not an application in a stage: write it as shop/production, or as shop/production/eu where the stage has several clusters"
        ),
    }
}

async fn annotate(
    args: &ApplicationArgs,
    annotation: &str,
    value: Option<&str>,
) -> anyhow::Result<()> {
    annotate_all(args, json!({annotation: value})).await
}

async fn annotate_all(args: &ApplicationArgs, annotations: Value) -> anyhow::Result<()> {
    let patch = json!({"metadata": {"annotations": annotations}});
    let api = api(&args.installation).await?;
    for args in each(args).await? {
        let name = object_name(&args.application)?;
        let patched = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched.with_context(|| {
            format!(
                "cannot change the Application {name} in the namespace {}: `windlass status` lists those that exist",
                args.installation.namespace
            )
        })?;
    }
    Ok(())
}

/// What a name stands for: `shop/production` is each cluster of the stage, where it has several.
async fn each(args: &ApplicationArgs) -> anyhow::Result<Vec<ApplicationArgs>> {
    let alone = vec![args.clone()];
    let selector = Selector::parse(&args.application);
    let Some(selector) = selector.filter(|it| it.stage.is_some() && it.cluster.is_none()) else {
        return Ok(alone);
    };
    let listed = api(&args.installation).await?;
    let listed = listed.list(&ListParams::default()).await;
    let keys = listed.into_iter().flat_map(|list| list.items);
    let mut keys: Vec<_> = keys.map(|object| object.key()).collect();
    keys.retain(|key| key.cluster.is_some() && selector.matches(key));
    keys.sort();
    let found: Vec<_> = keys
        .iter()
        .map(|key| ApplicationArgs {
            application: key.title(),
            installation: args.installation.clone(),
        })
        .collect();
    Ok(if found.is_empty() { alone } else { found })
}

async fn read(args: &ApplicationArgs) -> anyhow::Result<Application> {
    let name = object_name(&args.application)?;
    let api = api(&args.installation).await?;
    let object = api.get(&name).await;
    object.with_context(|| format!("cannot read the Application {name}"))
}

/// A pause that somebody ends says nothing about a hold, which may be another person's.
async fn resume(args: &ApplicationArgs) -> anyhow::Result<String> {
    let mut said = String::new();
    for args in each(args).await? {
        let object = read(&args).await?;
        let is_paused = object.annotations().contains_key(PAUSE);
        let hold = object.hold(jiff::Timestamp::now());
        let application = &args.application;
        said += &match hold.filter(|_| is_paused) {
            Some(hold) => {
                annotate(&args, PAUSE, None).await?;
                format!(
                    "{application} is no longer paused. {} still holds it ({}): `windlass resume {application}` once more ends that\n",
                    hold.by, hold.reason
                )
            }
            None => {
                annotate_all(&args, json!({PAUSE: null, HOLD: null})).await?;
                format!("{application} is no longer paused, and nobody holds it\n")
            }
        };
    }
    Ok(said)
}

async fn confirm(args: &ApplicationArgs) -> anyhow::Result<String> {
    let mut said = String::new();
    for args in each(args).await? {
        said += &confirm_in(&args).await?;
    }
    Ok(said)
}

async fn confirm_in(args: &ApplicationArgs) -> anyhow::Result<String> {
    let object = read(args).await?;
    let status = object.status.unwrap_or_default();
    let Some(confirm) = &status.confirm else {
        return Ok(format!(
            "no deletion waits for a confirmation in {}\n",
            args.application
        ));
    };
    annotate(args, CONFIRM_PRUNE, Some(confirm)).await?;
    Ok(format!(
        "{} deletes:\n  {}\n",
        args.application,
        status.to_confirm.join("\n  ")
    ))
}

async fn adopt(args: &ApplicationArgs) -> anyhow::Result<String> {
    let mut said = String::new();
    for args in each(args).await? {
        let object = read(&args).await?;
        said += &match adopt_waiting(&args, &object).await? {
            Some(text) => text,
            None => format!("nothing waits to be adopted in {}\n", args.application),
        };
    }
    Ok(said)
}

/// None: nothing waits to be adopted.
async fn adopt_waiting(
    args: &ApplicationArgs,
    object: &Application,
) -> anyhow::Result<Option<String>> {
    let Some(status) = object
        .status
        .as_ref()
        .filter(|status| !status.adoption.is_empty())
    else {
        return Ok(None);
    };
    annotate(args, ADOPT, Some("true")).await?;
    Ok(Some(format!(
        "{} takes over:\n  {}\n",
        args.application,
        status.adoption.join("\n  ")
    )))
}

async fn adopt_all(installation: &Installation, stage: Option<&str>) -> anyhow::Result<String> {
    let mut objects = api(installation)
        .await?
        .list(&ListParams::default())
        .await
        .context("cannot list the Applications")?
        .items;
    objects.sort_by_key(ResourceExt::name_any);
    objects.retain(|object| stage.is_none_or(|stage| object.spec.stage.as_str() == stage));
    let mut out = String::new();
    for object in &objects {
        let application = object.key().title();
        out.extend(
            adopt_waiting(
                &ApplicationArgs {
                    application,
                    installation: installation.clone(),
                },
                object,
            )
            .await?,
        );
    }
    if out.is_empty() {
        let of = stage
            .map(|stage| format!(" of the stage {stage}"))
            .unwrap_or_default();
        out = format!(
            "nothing waits to be adopted in the {} applications{of}\n",
            objects.len()
        );
    }
    Ok(out)
}
