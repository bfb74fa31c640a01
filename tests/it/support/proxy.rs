//! Stands between windlass and the API server: counts what is asked, and may
//! cut windlass off at any write.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::{Method, StatusCode};
use windlass::sandbox::control_plane::ControlPlane;
use windlass::sandbox::forge::WriteGate;

pub struct Proxy {
    inner: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

struct Inner {
    http: reqwest::Client,
    upstream: String,
    asked: Mutex<Vec<String>>,
    /// So many dry-runs are yet to be answered 429, and how many were.
    busy: Mutex<(usize, usize)>,
    /// Everything but windlass's own objects is answered 401, and open watches are cut.
    away: tokio::sync::watch::Sender<bool>,
    gate: Mutex<Option<Arc<dyn WriteGate>>>,
    failures: Mutex<Vec<Failure>>,
}

/// The API server fails: so many requests are answered with this status, and not done.
struct Failure {
    method: Method,
    /// What stands in the path.
    path: String,
    status: u16,
    times: usize,
}

impl Proxy {
    /// Writes a kubeconfig that leads through the proxy, with the token of the one given.
    pub async fn start(
        plane: &ControlPlane,
        direct: &Path,
        through: &Path,
    ) -> anyhow::Result<Self> {
        let (upstream, authority) = plane.server()?;
        let authority = reqwest::Certificate::from_pem(&std::fs::read(authority)?)?;
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let text = std::fs::read_to_string(direct)?;
        let users = text
            .lines()
            .find(|line| line.starts_with("users:"))
            .unwrap_or_default();
        std::fs::write(
            through,
            format!(
                "apiVersion: v1\nkind: Config\nclusters: [{{name: sandbox, cluster: {{server: \"http://{address}\"}}}}]\n{users}\n\
             contexts: [{{name: sandbox, context: {{cluster: sandbox, user: admin}}}}]\ncurrent-context: sandbox\n"
            ),
        )?;
        let inner = Arc::new(Inner {
            http,
            upstream,
            asked: Mutex::default(),
            busy: Mutex::default(),
            away: tokio::sync::watch::Sender::new(false),
            gate: Mutex::default(),
            failures: Mutex::default(),
        });
        let app = Router::new().fallback(forward).with_state(inner.clone());
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { inner, server })
    }

    pub fn gate(&self, gate: Arc<dyn WriteGate>) {
        *self.inner.gate.lock().unwrap() = Some(gate);
    }

    /// Answers the next dry-runs as an API server that has too much to do.
    pub fn be_busy(&self, times: usize) {
        *self.inner.busy.lock().unwrap() = (times, 0);
    }

    /// Whether the cluster takes windlass's credentials for anything but its own objects.
    pub fn turn_away(&self, away: bool) {
        self.inner.away.send_replace(away);
    }

    /// Answers the next requests of this method with this in their path by a status, without doing
    /// them.
    pub fn fail(&self, method: Method, path: &str, status: u16, times: usize) {
        self.inner.failures.lock().unwrap().push(Failure {
            method,
            path: path.into(),
            status,
            times,
        });
    }

    /// How many failures are yet to be met.
    pub fn failures_left(&self) -> usize {
        let failures = self.inner.failures.lock().unwrap();
        failures.iter().map(|failure| failure.times).sum()
    }

    /// How many dry-runs were turned away.
    pub fn turned_away(&self) -> usize {
        self.inner.busy.lock().unwrap().1
    }

    /// What was asked since the last call: method and path.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.asked.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Inner {
    /// The failure that a request meets.
    fn failure(&self, method: &Method, target: &str) -> Option<Response> {
        let mut failures = self.failures.lock().unwrap();
        let failure = failures.iter_mut().find(|failure| {
            failure.times > 0 && failure.method == *method && target.contains(&failure.path)
        })?;
        failure.times -= 1;
        Some(status(failure.status, "ServiceUnavailable"))
    }
}

/// A failure in the API server's form.
fn status(code: u16, reason: &str) -> Response {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    let code = StatusCode::from_u16(code).unwrap();
    let headers = [("content-type", "application/json"), ("retry-after", "1")];
    (code, headers, body.to_string()).into_response()
}

fn cut() -> Response {
    Response::new(Body::from_stream(futures::stream::once(async {
        Err::<Bytes, _>(std::io::Error::other("cut"))
    })))
}

async fn forward(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 16 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_string();
    let what = format!("{} {target}", parts.method);
    inner.asked.lock().unwrap().push(what.clone());
    if let Some(failure) = inner.failure(&parts.method, &target) {
        return failure;
    }
    let own = target.contains("/leases") || target.contains("/apis/windlass.dev/");
    if !own && *inner.away.borrow() {
        return status(401, "Unauthorized");
    }
    if target.contains("dryRun=All") {
        let mut busy = inner.busy.lock().unwrap();
        if busy.0 > 0 {
            *busy = (busy.0 - 1, busy.1 + 1);
            return status(429, "TooManyRequests");
        }
    }
    let writes = !matches!(parts.method, Method::GET | Method::HEAD)
        && !target.contains("dryRun=All")
        && !target.contains("/leases")
        // Written beside the work, and lost without harm: no point of a crash.
        && !target.contains("/apis/events.k8s.io/");
    let gate = if writes {
        inner.gate.lock().unwrap().clone()
    } else {
        None
    };
    let number = match &gate {
        Some(gate) => match gate.begin(&what) {
            Some(number) => Some(number),
            None => return cut(),
        },
        None => None,
    };
    let mut headers = parts.headers;
    headers.remove("host");
    let asked = inner
        .http
        .request(parts.method, format!("{}{target}", inner.upstream))
        .headers(headers)
        .body(body)
        .send()
        .await;
    let Ok(answer) = asked else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = if target.contains("watch=true") {
        let mut away = inner.away.subscribe();
        let cut = async move {
            while !own && away.changed().await.is_ok() && !*away.borrow_and_update() {}
            if own {
                std::future::pending::<()>().await
            }
        };
        Body::from_stream(answer.bytes_stream().take_until(Box::pin(cut)))
    } else {
        match answer.bytes().await {
            Ok(bytes) => Body::from(bytes),
            Err(_) => return cut(),
        }
    };
    if let (Some(gate), Some(number)) = (gate, number)
        && !gate.end(number)
    {
        return cut();
    }
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    for (name, value) in &headers {
        if name != "transfer-encoding" && name != "content-length" {
            reply.headers_mut().append(name, value.clone());
        }
    }
    reply
}
