//! Clusters that Secrets in windlass's namespace register.
//!
//! The Secret's label `windlass.dev/cluster` is the cluster's name, its other
//! labels are the cluster's, and `kubeconfig` in its data is how it is reached.
//!
//! Whoever may write such a Secret need not be whoever runs windlass: its
//! kubeconfig must be complete in itself. A file that it named would be read in
//! windlass's pod and sent to a server of the writer's choice, so none is; a
//! program runs only if the server's settings name it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use sha2::{Digest as _, Sha256};

use super::connect::DEADLINE;

/// The label with the cluster's name.
const CLUSTER: &str = "windlass.dev/cluster";
/// The annotation with a context, if it is not the kubeconfig's current one.
const CONTEXT: &str = "windlass.dev/context";
/// Keys of the kubeconfig: ours, and those of Flux's and Cluster API's Secrets.
const KEYS: [&str; 2] = ["kubeconfig", "value"];
/// Several Secrets often change together.
const SETTLED: Duration = Duration::from_secs(1);
/// The shortest time between two starts for changes of what is registered already.
const CALM: Duration = Duration::from_secs(60);
/// The same where clusters come and go.
const SHORTEST: Duration = Duration::from_secs(10);
/// The pause after a list that failed.
const RETRY: Duration = Duration::from_secs(5);

/// A cluster of a Secret.
#[derive(Clone)]
pub struct Registered {
    pub secret: String,
    pub labels: BTreeMap<String, String>,
    pub context: Option<String>,
    /// The kubeconfig, or why it is not used.
    pub kubeconfig: Result<Kubeconfig, String>,
    digest: [u8; 32],
}

/// All of them, by the names of the clusters.
pub type AllRegistered = BTreeMap<String, Registered>;

/// Reads the Secrets of a namespace. `plugins`: the programs that they may name.
pub async fn registered(
    client: &Client,
    namespace: &str,
    plugins: &[String],
) -> anyhow::Result<AllRegistered> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secrets = api.list(&ListParams::default().labels(CLUSTER)).await;
    let secrets = secrets.with_context(|| {
        format!(
            "cannot read the Secrets of clusters in the namespace `{namespace}` (--cluster-secrets)"
        )
    })?;
    Ok(by_name(&secrets.items, plugins))
}

fn by_name(secrets: &[Secret], plugins: &[String]) -> AllRegistered {
    let mut all = AllRegistered::new();
    for secret in secrets {
        let Some(name) = secret.labels().get(CLUSTER).filter(|name| !name.is_empty()) else {
            continue;
        };
        let one = read(secret, plugins);
        match all.get_mut(name) {
            None => drop(all.insert(name.clone(), one)),
            Some(other) => {
                let (secret, other_secret) = (&one.secret, &other.secret);
                // When the other one changes or goes, it is noticed.
                other.digest = Sha256::digest([other.digest, one.digest].concat()).into();
                other.kubeconfig = Err(format!(
                    "the Secrets `{other_secret}` and `{secret}` both name it"
                ));
            }
        }
    }
    all
}

fn read(secret: &Secret, plugins: &[String]) -> Registered {
    let mut labels = secret.labels().clone();
    labels.remove(CLUSTER);
    let data = secret.data.iter().flatten();
    let mut given = data.filter(|(key, _)| KEYS.contains(&key.as_str()));
    let content = given.next().map(|(_, content)| &content.0[..]);
    let context = secret.annotations().get(CONTEXT).cloned();
    let name = secret.name_any();
    let kubeconfig = kubeconfig(content, plugins);
    let mut digest = Sha256::new();
    digest.update(format!("{name:?}{labels:?}{context:?}"));
    digest.update(content.unwrap_or_default());
    Registered {
        kubeconfig: kubeconfig.map_err(|why| format!("the Secret `{name}` {why}")),
        secret: name,
        labels,
        context,
        digest: digest.finalize().into(),
    }
}

/// The kubeconfig of a Secret; an error says what the Secret has, and quotes no credentials.
fn kubeconfig(content: Option<&[u8]>, plugins: &[String]) -> Result<Kubeconfig, String> {
    let content = content.ok_or("has no key `kubeconfig`")?;
    let text = std::str::from_utf8(content).map_err(|_| "has no kubeconfig in it")?;
    let read = Kubeconfig::from_yaml(text).map_err(|_| "has no kubeconfig in it")?;
    let users = read
        .auth_infos
        .iter()
        .filter_map(|one| one.auth_info.as_ref());
    for user in users {
        let files = [
            ("tokenFile", user.token_file.is_some()),
            ("client-certificate", user.client_certificate.is_some()),
            ("client-key", user.client_key.is_some()),
        ];
        refuse_files(&files)?;
        if user.auth_provider.is_some() {
            return Err("has an `auth-provider`, which is not used: give it a token, a certificate or an `exec` program".into());
        }
        let variables = user.exec.iter().flat_map(|exec| exec.env.iter().flatten());
        let mut names = variables.filter_map(|one| one.get("name"));
        if let Some(name) = names.find(|name| *name == "PATH" || name.starts_with("LD_")) {
            return Err(format!(
                "sets `{name}` for its program, which could make it another program: leave it out"
            ));
        }
        let program = user.exec.as_ref().and_then(|exec| exec.command.as_ref());
        if let Some(program) = program.filter(|program| !plugins.contains(program)) {
            return Err(format!(
                "runs `{program}` for its credentials, which the settings do not allow: start windlass with --cluster-exec-plugin {program}, if that program is there"
            ));
        }
    }
    for cluster in read.clusters.iter().filter_map(|one| one.cluster.as_ref()) {
        refuse_files(&[(
            "certificate-authority",
            cluster.certificate_authority.is_some(),
        )])?;
    }
    Ok(read)
}

fn refuse_files(files: &[(&str, bool)]) -> Result<(), String> {
    match files.iter().find(|(_, is_given)| *is_given) {
        Some((field, _)) => Err(format!(
            "names a file by `{field}`: put its content into the kubeconfig (`kubectl config view --flatten`)"
        )),
        None => Ok(()),
    }
}

/// Waits until other clusters are registered than those, or otherwise.
pub async fn other_than(
    known: &AllRegistered,
    client: &Client,
    namespace: &str,
    plugins: &[String],
) {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().labels(CLUSTER);
    let mut events = pin!(watcher(api, config).default_backoff());
    let started = tokio::time::Instant::now();
    while let Some(event) = events.next().await {
        if let Err(error) = event {
            tracing::debug!(%error, "the watch of the clusters' Secrets was interrupted");
            continue;
        }
        tokio::time::sleep(SETTLED).await;
        // An event comes once: what it told of is read until that succeeds.
        let now = loop {
            let read = registered(client, namespace, plugins);
            match tokio::time::timeout(DEADLINE, read).await {
                Ok(Ok(now)) => break now,
                _ => tokio::time::sleep(RETRY).await,
            }
        };
        if !now.keys().eq(known.keys()) {
            tokio::time::sleep_until(started + SHORTEST).await;
            return;
        }
        let digests = |all: &AllRegistered| all.values().map(|one| one.digest).collect::<Vec<_>>();
        if digests(&now) != digests(known) {
            // A Secret that is rewritten all the time starts windlass again once a minute at most.
            tokio::time::sleep_until(started + CALM).await;
            return;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secret(name: &str, cluster: &str, kubeconfig: &Value) -> Secret {
        let text = kubeconfig.to_string();
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {CLUSTER: cluster, "env": "live"}},
            "data": {"kubeconfig": k8s_openapi::ByteString(text.into_bytes())},
        }))
        .unwrap()
    }

    fn with_user(user: &Value) -> Value {
        json!({
            "clusters": [{"name": "c", "cluster": {"server": "https://c.example.com"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        })
    }

    #[test]
    fn a_secret_reads_no_file_and_runs_no_program_of_its_own_choice() {
        let exec = |program: &str| json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": program}});
        let mut of_file = with_user(&json!({"token": "t"}));
        of_file["clusters"][0]["cluster"]["certificate-authority"] = "/etc/passwd".into();
        let plugins = ["aws".to_string()];
        let mut other_path = exec("aws");
        other_path["exec"]["env"] = json!([{"name": "PATH", "value": "/tmp"}]);
        let other_path = with_user(&other_path);
        for (kubeconfig, expected) in [
            (with_user(&json!({"token": "t"})), None),
            (with_user(&exec("aws")), None),
            (with_user(&exec("sh")), Some("runs `sh`")),
            (other_path, Some("sets `PATH`")),
            (with_user(&exec("/tmp/aws")), Some("runs `/tmp/aws`")),
            (
                with_user(&json!({"tokenFile": "/var/run/secrets/token"})),
                Some("`tokenFile`"),
            ),
            (
                with_user(&json!({"client-key": "/key"})),
                Some("`client-key`"),
            ),
            (
                with_user(&json!({"client-certificate": "/crt"})),
                Some("`client-certificate`"),
            ),
            (
                with_user(&json!({"auth-provider": {"name": "gcp", "config": {}}})),
                Some("auth-provider"),
            ),
            (of_file, Some("`certificate-authority`")),
            (json!([1]), Some("has no kubeconfig in it")),
        ] {
            let all = by_name(&[secret("s", "edge", &kubeconfig)], &plugins);
            let why = all["edge"].kubeconfig.as_ref().err();
            match expected {
                None => assert_eq!(why, None),
                Some(part) => assert!(why.is_some_and(|why| why.contains(part)), "{why:?}"),
            }
            assert_eq!(
                all["edge"].labels,
                BTreeMap::from([("env".into(), "live".into())])
            );
        }
    }

    #[test]
    fn two_secrets_of_one_name_are_none() {
        let kubeconfig = with_user(&json!({"token": "t"}));
        let secrets = [
            secret("a", "edge", &kubeconfig),
            secret("b", "edge", &kubeconfig),
        ];
        let all = by_name(&secrets, &[]);
        let why = all["edge"].kubeconfig.as_ref().err().unwrap();
        assert_eq!(why, "the Secrets `a` and `b` both name it");
        // One of them goes.
        let alone = by_name(&secrets[..1], &[]);
        assert_ne!(alone["edge"].digest, all["edge"].digest);
    }
}
