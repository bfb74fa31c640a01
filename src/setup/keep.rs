//! Where the App's credentials go: files of one folder, or a Secret. The place is looked at before
//! the App is registered, since GitHub hands its credentials out once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::ExposeSecret as _;

use crate::github::registration::NewApp;
use crate::random;

/// The names that deploy/ and the chart know them by.
const APP_ID: &str = "app-id";
const PRIVATE_KEY: &str = "private-key.pem";
const WEBHOOK_SECRET: &str = "webhook-secret";
const EVENTS_TOKEN: &str = "events-token";

/// Where they are kept.
pub(super) enum Place {
    Folder(PathBuf),
    Secret {
        api: Box<Api<Secret>>,
        namespace: String,
        name: String,
    },
}

/// Where they are kept now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) folder: Option<PathBuf>,
    /// Namespace and name.
    pub(crate) secret: Option<(String, String)>,
    /// What is kept.
    pub(crate) names: Vec<&'static str>,
}

impl Place {
    /// Checks that the place is free and can be written.
    pub(super) async fn open(folder: &Path, secret: Option<&str>) -> anyhow::Result<Self> {
        let Some(secret) = secret else {
            return Self::folder(folder);
        };
        let (namespace, name) = secret
            .split_once('/')
            .context("--secret: write it as namespace/name")?;
        let client = Client::try_default()
            .await
            .context("--secret: cannot connect to the cluster of your kubeconfig: set KUBECONFIG, or leave --secret out, and the credentials go into a folder")?;
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let made = secret_of(name, BTreeMap::new());
        let try_out = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match api.create(&try_out, &made).await {
            Ok(_) => Ok(Self::Secret {
                api: Box::new(api),
                namespace: namespace.into(),
                name: name.into(),
            }),
            Err(kube::Error::Api(status)) if status.code == 409 => bail!(
                "--secret: the Secret {secret} exists: its App would lose its credentials. Delete it, or name another one"
            ),
            Err(kube::Error::Api(status)) if status.code == 404 => bail!(
                "--secret: there is no namespace {namespace}: `kubectl create namespace {namespace}` makes it (deploy/namespace.yaml has windlass's own)"
            ),
            Err(error) => Err(error).with_context(|| format!("--secret: {secret} cannot be made")),
        }
    }

    fn folder(folder: &Path) -> anyhow::Result<Self> {
        let names = [PRIVATE_KEY, APP_ID, WEBHOOK_SECRET, EVENTS_TOKEN];
        if let Some(name) = names.iter().find(|name| folder.join(name).exists()) {
            bail!(
                "{} has credentials of an App already ({name}): name another --folder",
                folder.display()
            );
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self::Folder(folder))
    }

    /// Keeps the credentials, with a new token for image events.
    pub(super) async fn keep(&self, app: &NewApp, takes_events: bool) -> anyhow::Result<Kept> {
        let mut all = vec![
            // First what GitHub does not hand out again.
            (PRIVATE_KEY, app.pem.expose_secret().to_string()),
            (APP_ID, app.id.to_string()),
        ];
        if let Some(secret) = &app.webhook_secret {
            all.push((WEBHOOK_SECRET, secret.expose_secret().to_string()));
        }
        if takes_events {
            all.push((EVENTS_TOKEN, random::hexadecimal(32)?));
        }
        let names = all.iter().map(|(name, _)| *name).collect();
        match self {
            Self::Folder(folder) => {
                for (name, text) in all {
                    write(&folder.join(name), &text)?;
                }
                Ok(Kept {
                    folder: Some(folder.clone()),
                    secret: None,
                    names,
                })
            }
            Self::Secret {
                api,
                namespace,
                name,
            } => {
                let data = all.into_iter().map(|(key, text)| (key.to_string(), text));
                let made = secret_of(name, data.collect());
                let created = api.create(&PostParams::default(), &made).await;
                created.with_context(|| format!("cannot make the Secret {namespace}/{name}"))?;
                Ok(Kept {
                    folder: None,
                    secret: Some((namespace.clone(), name.clone())),
                    names,
                })
            }
        }
    }
}

fn secret_of(name: &str, data: BTreeMap<String, String>) -> Secret {
    Secret {
        metadata: kube::api::ObjectMeta {
            name: Some(name.into()),
            ..Default::default()
        },
        string_data: Some(data),
        ..Secret::default()
    }
}

/// Writes a new file that only its owner reads. An earlier attempt may have written it; a token of
/// ours that is there stays.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let is_ours = path.ends_with(EVENTS_TOKEN);
    if std::fs::read_to_string(path)
        .is_ok_and(|there| there == text || is_ours && there.len() == text.len())
    {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}
