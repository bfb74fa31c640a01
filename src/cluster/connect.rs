//! Clients for clusters, and the warnings of their API servers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http::header::USER_AGENT;
use http::{HeaderName, HeaderValue};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::registered::Registered;
use crate::domain::fence::ServiceAccount;

tokio::task_local! {
    /// The API server's warnings during the current requests.
    static WARNINGS: Mutex<Vec<String>>;
}

/// Runs requests and returns the API server's warnings too: deprecated versions, unknown or
/// duplicate fields.
pub async fn with_warnings<T>(requests: impl Future<Output = T>) -> (T, Vec<String>) {
    WARNINGS
        .scope(Mutex::default(), async {
            let value = requests.await;
            let warnings = WARNINGS.with(|warnings| {
                std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner))
            });
            (value, warnings)
        })
        .await
}

/// How many answers API servers gave to this process. An idle windlass causes few.
pub static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// Collects the texts of `Warning` headers: `299 - "text"`.
pub(super) fn hear_warnings<B>(response: http::Response<B>) -> http::Response<B> {
    ANSWERS.fetch_add(1, Ordering::Relaxed);
    for header in response.headers().get_all(http::header::WARNING) {
        let text = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once('"'))
            .map(|(_, text)| text.trim_end_matches('"').replace("\\\"", "\""));
        if let Some(text) = text {
            let _ = WARNINGS.try_with(|warnings| {
                let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
                if !warnings.contains(&text) {
                    warnings.push(text);
                }
            });
        }
    }
    response
}

/// For so long discovery is not read again for a kind that is not served, unless we applied a
/// definition meanwhile.
pub(super) const UNSERVED_FOR: Duration = Duration::from_secs(1);

/// The deadline of a request that is not a watch.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// How long the program of a kubeconfig may take for its first credentials.
const FOR_CREDENTIALS: Duration = Duration::from_secs(20);

/// How a cluster is reached.
#[derive(Clone)]
pub enum Access {
    /// By the service account of windlass's pod.
    OwnPod,
    /// By a kubeconfig, in its current context or in another one.
    File(PathBuf, Option<String>),
    /// By what a Secret registered.
    Secret(Box<Registered>),
}

/// A client for a cluster.
pub async fn connect(access: &Access) -> anyhow::Result<Client> {
    connect_as(access, None).await
}

/// The same, impersonating a service account: Kubernetes grants it that account's rights only.
pub async fn connect_as(
    access: &Access,
    account: Option<&ServiceAccount>,
) -> anyhow::Result<Client> {
    let mut config = match access {
        Access::OwnPod => Config::incluster()?,
        Access::File(path, context) => {
            configuration(Kubeconfig::read_from(path)?, context.as_deref()).await?
        }
        Access::Secret(one) => {
            let kubeconfig = one.kubeconfig.clone().map_err(anyhow::Error::msg)?;
            configuration(kubeconfig, one.context.as_deref()).await?
        }
    };
    config.headers.push((
        USER_AGENT,
        HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION"))),
    ));
    if let Some(account) = account {
        // Kubernetes adds the groups of a service account by itself.
        config.headers.push((
            HeaderName::from_static("impersonate-user"),
            account.user().parse()?,
        ));
    }
    config.connect_timeout = Some(Duration::from_secs(10));
    client(config, FOR_CREDENTIALS).await
}

/// The client for a configuration. kube waits for the program for credentials without a limit: it
/// runs on a thread of its own, which nothing waits for at the end.
async fn client(config: Config, patience: Duration) -> anyhow::Result<Client> {
    let (done, made) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _entered = runtime.enter();
        // Retries of 429, 503 and 504 stay inside the deadline of a call.
        let builder = kube::client::ClientBuilder::try_from(config);
        let layer = tower::util::MapResponseLayer::new(hear_warnings);
        let _ = done.send(builder.map(|builder| builder.with_layer(&layer).build()));
    });
    let made = tokio::time::timeout(patience, made).await;
    let made = made.context("its program for credentials does not end")?;
    Ok(made.context("its client could not be made")??)
}

async fn configuration(kubeconfig: Kubeconfig, context: Option<&str>) -> anyhow::Result<Config> {
    let has_proxy = has_proxy(&kubeconfig, context);
    let options = KubeConfigOptions {
        context: context.map(str::to_string),
        ..Default::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // kube takes HTTPS_PROXY as well, and asks NO_PROXY about the proxy instead of the server: one
    // for GitHub would be every cluster's.
    config.proxy_url = config.proxy_url.filter(|_| has_proxy);
    Ok(config)
}

/// Whether the context's cluster has a `proxy-url`.
fn has_proxy(kubeconfig: &Kubeconfig, context: Option<&str>) -> bool {
    let name = context.or(kubeconfig.current_context.as_deref());
    let mut contexts = kubeconfig.contexts.iter();
    let found = contexts.find(|context| Some(context.name.as_str()) == name);
    let cluster = found.and_then(|context| Some(&context.context.as_ref()?.cluster));
    let mut clusters = kubeconfig.clusters.iter();
    let found = clusters.find(|named| Some(&named.name) == cluster);
    found
        .and_then(|named| named.cluster.as_ref()?.proxy_url.as_ref())
        .is_some_and(|proxy| !proxy.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that waits until somebody writes to a pipe.
    #[tokio::test]
    async fn a_program_for_credentials_that_does_not_end_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let kubeconfig: Kubeconfig = serde_json::from_value(serde_json::json!({
            "current-context": "away",
            "contexts": [{"name": "away", "context": {"cluster": "away", "user": "away"}}],
            "clusters": [{"name": "away", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "away", "user": {"exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
                "command": "cat", "args": [pipe],
            }}}],
        }))
        .unwrap();
        let config = configuration(kubeconfig, None).await.unwrap();
        let error = client(config, Duration::from_millis(100)).await;
        let error = error.err().unwrap().to_string();
        assert_eq!(error, "its program for credentials does not end");
        // It ends now.
        std::fs::write(&pipe, "").unwrap();
    }
}
