//! `windlass setup`: its page, what its pull request says, and what the terminal says at its end.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::render_page;

/// What the page shows.
#[derive(Serialize)]
pub struct SetupPage {
    pub version: &'static str,
    /// What the page's own forms carry.
    pub secret: String,
    /// Where GitHub takes the manifest.
    pub registration: String,
    /// The organisation; None: the person's own account.
    pub owner: Option<String>,
    pub name: String,
    pub address: Option<String>,
    /// Where the credentials go, in words.
    pub keeps_in: String,
    pub permissions: Vec<(String, String)>,
    /// JSON.
    pub manifest: String,
    pub preview_only: bool,
    /// The App, once it is registered.
    pub app: Option<String>,
    /// Where it is installed.
    pub install: String,
    pub repositories: Vec<SetupRepository>,
    pub error: Option<String>,
    /// What to do next, as the terminal says it.
    pub next: String,
}

/// A repository that the App is installed on.
#[derive(Serialize)]
pub struct SetupRepository {
    pub name: String,
    /// The address of its first pull request.
    pub pull: Option<String>,
    /// It has the file already.
    pub is_configured: bool,
}

/// What the person does next.
pub struct NextSteps {
    pub app_id: u64,
    pub folder: Option<PathBuf>,
    /// Namespace and name.
    pub secret: Option<(String, String)>,
    pub api_url: String,
    pub url: Option<String>,
    pub preview_only: bool,
    /// What is kept of the credentials.
    pub names: Vec<&'static str>,
    /// The repository that got its first pull request.
    pub repository: Option<String>,
}

const TEMPLATE: &str = include_str!("../../templates/setup.html");

pub fn setup(page: &SetupPage) -> String {
    render_page("setup.html", TEMPLATE, page)
}

/// The permissions of a manifest: each with its access.
pub fn permissions(manifest: &Value) -> Vec<(String, String)> {
    let all = manifest["default_permissions"].as_object();
    let all = all.into_iter().flatten();
    all.map(|(name, access)| {
        let access = access.as_str().unwrap_or_default();
        (name.replace('_', " "), access.to_string())
    })
    .collect()
}

/// The body of the first pull request.
pub fn first_pull(left_out: &[String]) -> String {
    let mut text = String::from(
        "This `windlass.yaml` says which directories are applications, and where they go. It was made from what this repository holds: read it, and change what is not meant so.\n\n\
         Before it is merged, and before windlass runs, nothing is applied. The first sync creates what is missing, in every stage. What exists already it leaves alone: it lists what it would change, and waits for `/adopt`. `windlass plan --all` in a working copy of this branch shows both.\n\nThe file names clusters: windlass has to know each of them, by `--cluster NAME=KUBECONFIG`; `local` is the one that it runs in. The images that pull requests shall promote are not in it yet: add them under `images:`, with the repository whose CI announces each.\n",
    );
    if !left_out.is_empty() {
        text.push_str("\nLeft out:\n\n");
        for what in left_out {
            text.push_str(&format!("- {what}\n"));
        }
    }
    text
}

/// What to do once the App is there.
pub fn set_up(next: &NextSteps) -> String {
    let mut text = String::new();
    if let Some((namespace, name)) = &next.secret {
        text.push_str(&format!(
            "The Secret {namespace}/{name} has the credentials of the App {}. Next:\n\n{}",
            next.app_id,
            command(
                &format!("helm install windlass deploy/chart --namespace {namespace}"),
                &next.values(name)
            )
        ));
    }
    if let Some(folder) = &next.folder {
        let folder = folder.display();
        let files = next.names.iter();
        let files: Vec<_> = files
            .map(|file| format!("--from-file={}", quoted(&format!("{folder}/{file}"))))
            .collect();
        text.push_str(&format!(
            "The folder {folder} has the credentials of the App {}. Next, for a cluster, once it has the namespace (`kubectl apply -f deploy/namespace.yaml`), and before README.md, \"Run it for real\", step 2:\n\n{}\nor here, against your kubeconfig:\n\n{}",
            next.app_id,
            command("kubectl -n windlass create secret generic windlass", &files),
            command("windlass serve", &next.flags(&folder.to_string()))
        ));
    }
    match &next.url {
        Some(url) => text.push_str(&format!("\nGitHub has to reach {url}/webhook. ")),
        None => text.push('\n'),
    }
    text + "`windlass doctor` with the same settings says what is missing.\n"
}

/// A command with an argument on each line.
fn command(start: &str, arguments: &[String]) -> String {
    let mut text = format!("  {start}");
    for argument in arguments {
        text.push_str(&format!(" \\\n    {argument}"));
    }
    text + "\n"
}

/// A path for a shell.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.chars().all(is_plain) {
        true => path.into(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}

impl NextSteps {
    fn repository(&self) -> &str {
        self.repository.as_deref().unwrap_or("OWNER/NAME")
    }

    /// The chart's values.
    fn values(&self, secret: &str) -> Vec<String> {
        let mut values = vec![
            format!("--set secret.name={secret}"),
            format!("--set 'configRepositories={{{}}}'", self.repository()),
        ];
        if self.api_url != "https://api.github.com" {
            values.push(format!("--set github.apiUrl={}", self.api_url));
        }
        if self.preview_only {
            values.push("--set previewOnly.enabled=true".into());
            values.extend(
                self.url
                    .as_ref()
                    .map(|_| "--set previewOnly.webhook=true".into()),
            );
        } else if let Some(url) = &self.url {
            values.push(format!("--set eventsAudience={url}"));
        }
        values
    }

    /// The flags of `windlass serve`.
    fn flags(&self, folder: &str) -> Vec<String> {
        let file = |name: &str| quoted(&format!("{folder}/{name}"));
        let mut flags = vec![
            format!("--github-app-id {}", self.app_id),
            format!("--github-private-key-file {}", file("private-key.pem")),
            format!("--github-api-url {}", self.api_url),
            format!("--config-repository {}", self.repository()),
        ];
        for (name, flag) in [
            ("webhook-secret", "--github-webhook-secret-file"),
            ("events-token", "--events-token-file"),
        ] {
            if self.names.contains(&name) {
                flags.push(format!("{flag} {}", file(name)));
            }
        }
        if self.preview_only {
            flags.push("--preview-only".into());
        } else if let Some(url) = &self.url {
            flags.push(format!("--events-audience {url}"));
        }
        flags
    }
}
