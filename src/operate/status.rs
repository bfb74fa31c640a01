//! `windlass status` and `windlass history`: what applications are and were at.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use super::{ApplicationArgs, Installation, api, read};
use crate::cluster::store::Application;
use crate::domain::command::{Past, Selector};
use crate::domain::ownership::UnmanagedFields;
use crate::view::{self, StatusRow, Tone, standing};

/// `windlass status`
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// An application, or one in a stage, or in one of its clusters, such as `shop`,
    /// `shop/production` or `shop/production/eu` (default: all)
    application: Option<String>,

    /// Only the applications of this stage
    #[arg(long)]
    stage: Option<String>,

    /// Only applications that are not synced and healthy
    #[arg(long)]
    unhealthy: bool,

    /// How to print it
    #[arg(long, short, value_enum, default_value = "table")]
    output: Output,

    /// Prints it again whenever it changes
    #[arg(long, short, conflicts_with = "output")]
    watch: bool,

    /// Exits with 1 unless every application that is shown is synced and healthy
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    installation: Installation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

impl StatusArgs {
    fn shows(&self, object: &Application) -> bool {
        let spec = &object.spec;
        let named = |wanted: &String| {
            let selector = Selector::parse(wanted);
            selector.is_some_and(|selector| selector.matches(&object.key()))
        };
        self.application.as_ref().is_none_or(named)
            && self
                .stage
                .as_ref()
                .is_none_or(|stage| spec.stage.as_str() == stage)
            && !(self.unhealthy && is_well(object))
    }
}

fn is_well(object: &Application) -> bool {
    standing(&object.summary()).0 == Tone::Good
}

pub async fn status(args: &StatusArgs) -> anyhow::Result<(String, ExitCode)> {
    if args.watch {
        return watch(args).await;
    }
    let api = api(&args.installation).await?;
    let all = api.list(&ListParams::default()).await;
    let mut objects = all.context("cannot list the Applications")?.items;
    if objects.is_empty() {
        bail!(
            "there are no applications in the namespace {}: does windlass run in another one (--namespace), and does a config repository have a windlass.yaml?",
            args.installation.namespace
        );
    }
    objects.retain(|object| args.shows(object));
    objects.sort_by_key(ResourceExt::name_any);
    if objects.is_empty() && !args.unhealthy {
        bail!("no application matches: `windlass status` lists all");
    }
    let all_well = objects.iter().all(is_well);
    let text = match args.output {
        Output::Json => format!("{:#}\n", Value::from_iter(objects.iter().map(as_json))),
        Output::Table if objects.is_empty() => "every application is synced and healthy\n".into(),
        Output::Table => table(objects.iter()),
    };
    let code = ExitCode::from(u8::from(args.exit_code && !all_well));
    Ok((text, code))
}

/// Prints the table again at each change, until it is interrupted.
async fn watch(args: &StatusArgs) -> anyhow::Result<(String, ExitCode)> {
    let api = api(&args.installation).await?;
    // An error that a watch would only retry is told at once.
    api.list(&ListParams::default().limit(1))
        .await
        .context("cannot list the Applications")?;
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let (mut objects, mut printed) = (BTreeMap::new(), String::new());
    let mut listing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                objects.clear();
                listing = true;
            }
            Ok(watcher::Event::InitDone) => listing = false,
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                objects.insert(object.name_any(), object);
            }
            Ok(watcher::Event::Delete(object)) => {
                objects.remove(&object.name_any());
            }
            Err(_) => {}
        }
        let text = table(objects.values().filter(|object| args.shows(object)));
        if !listing && text != printed {
            let clear = match std::io::stdout().is_terminal() {
                true => "\x1b[H\x1b[2J",
                false => "",
            };
            super::print(&format!("{clear}{text}\n"));
            printed = text;
        }
    }
    Ok((String::new(), ExitCode::SUCCESS))
}

fn table<'a>(objects: impl Iterator<Item = &'a Application>) -> String {
    let now = jiff::Timestamp::now();
    let rows: Vec<_> = objects
        .map(|object| StatusRow {
            application: object.key().title(),
            summary: object.summary(),
            unmanaged: unmanaged(object),
            since: object
                .status
                .as_ref()
                .and_then(|status| status.changed_at()),
        })
        .collect();
    view::status_table(&rows, now)
}

fn unmanaged(object: &Application) -> Vec<(String, UnmanagedFields)> {
    let status = object.status.iter();
    let all = status.flat_map(|status| status.unmanaged.iter());
    all.map(|one| (one.object.clone(), one.fields.clone()))
        .collect()
}

fn as_json(object: &Application) -> Value {
    let (spec, status) = (&object.spec, object.status.clone().unwrap_or_default());
    let (tone, state) = standing(&object.summary());
    let images: Vec<_> = status.images.iter().map(ToString::to_string).collect();
    json!({
        "application": spec.application, "stage": spec.stage, "repository": spec.repository,
        "cluster": spec.cluster, "namespace": spec.namespace,
        "state": state, "tone": tone, "sync": status.sync, "health": status.health,
        "reason": status.reason, "message": status.message, "commit": status.revision,
        "syncedCommit": status.synced_revision, "behind": status.behind,
        "images": images, "held": status.held, "unmanaged": status.unmanaged,
        "since": status.changed_at(),
    })
}

pub async fn history(args: &ApplicationArgs) -> anyhow::Result<String> {
    let object = read(args).await?;
    let status = object.status.clone().unwrap_or_default();
    let past = Past {
        application: object.key(),
        healthy: status.history,
        failed: status.failures,
    };
    Ok(view::history_table(&past))
}
