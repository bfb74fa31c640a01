//! Against a chart repository and a registry on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;

/// What a server has, by path. `->URL` redirects.
#[derive(Default)]
struct Site {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    /// The `Authorization` without which it gives nothing, and how it asks for it.
    wants: Mutex<Option<(String, String)>>,
}

struct Server {
    site: Arc<Site>,
    /// `127.0.0.1:PORT`.
    address: String,
    folder: tempfile::TempDir,
}

async fn serve(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_string();
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()).unwrap_or("");
    site.asked
        .lock()
        .unwrap()
        .push(format!("{path} {given}").trim_end().into());
    let answer = Response::builder();
    if let Some((wanted, asks)) = &*site.wants.lock().unwrap()
        && given != wanted
        && path != "/token"
    {
        let answer = answer.header(header::WWW_AUTHENTICATE, asks);
        return answer
            .status(StatusCode::UNAUTHORIZED)
            .body(Body::empty())
            .unwrap();
    }
    match site.files.lock().unwrap().get(&path) {
        Some(content) => match content.strip_prefix(b"->") {
            Some(to) => answer
                .status(302)
                .header(header::LOCATION, to)
                .body(Body::empty()),
            None => answer.body(content.clone().into()),
        },
        None => answer.status(StatusCode::NOT_FOUND).body(Body::empty()),
    }
    .unwrap()
}

impl Server {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let site = Arc::new(Site::default());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = axum::Router::new().fallback(serve).with_state(site.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            site,
            address,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.site
            .files
            .lock()
            .unwrap()
            .insert(path.into(), content.into());
    }

    /// A version of the chart `redis` in a chart repository. Returns the digest of its archive.
    fn publish(&self, text: &str, archive_at: &str) -> String {
        let archive = packed(text);
        let digest = hex::encode(Sha256::digest(&archive));
        self.put("/charts/redis-1.0.0.tgz", archive);
        self.put(
            "/charts/index.yaml",
            format!("entries:\n  redis:\n  - version: 1.0.0\n    digest: {digest}\n    urls: [\"{archive_at}\"]\n"),
        );
        digest
    }

    /// The same in a registry.
    fn push(&self, text: &str) {
        let archive = packed(text);
        let digest = hex::encode(Sha256::digest(&archive));
        self.put(&format!("/v2/charts/redis/blobs/sha256:{digest}"), archive);
        self.put(
            "/v2/charts/redis/manifests/1.0.0_x",
            format!(r#"{{"layers": [{{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": "sha256:{digest}"}}]}}"#),
        );
    }

    /// A fetcher with this server as a source, in the same folder each time.
    fn fetcher(&self, url: &str, credentials: &str) -> Fetcher {
        let file = self.folder.path().join("sources.yaml");
        let secret = self.folder.path().join("secret");
        std::fs::write(&secret, credentials).unwrap();
        let named = match credentials.is_empty() {
            true => String::new(),
            false => format!("\n  credentials: {}", secret.display()),
        };
        std::fs::write(&file, format!("sources:\n- url: {url}{named}\n")).unwrap();
        let sources = Sources::read(&file).unwrap();
        let folder = self.folder.path().join("fetched");
        Fetcher::new(sources, folder, &Outgoing::default()).unwrap()
    }

    fn repository(&self) -> String {
        format!("http://{}/charts", self.address)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.site.asked.lock().unwrap())
    }
}

fn packed(text: &str) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (path, content) in [
        ("redis/Chart.yaml", "name: redis\nversion: 1.0.0\n"),
        ("redis/templates/a.yaml", text),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn redis(repository: &str, version: &str) -> ChartVersion {
    ChartVersion {
        repository: repository.into(),
        name: "redis".into(),
        version: version.into(),
    }
}

async fn text_of(fetcher: &Fetcher, of: &ChartVersion) -> Result<String, Trouble> {
    let files = fetcher.chart(of).await?;
    Ok(String::from_utf8_lossy(&files["templates/a.yaml"]).into_owned())
}

#[tokio::test]
async fn a_version_is_asked_for_once_and_stays_what_it_was() {
    let server = Server::start().await;
    let first = server.publish("one", "redis-1.0.0.tgz");
    let of = redis(&server.repository(), "1.0.0");
    let fetcher = || server.fetcher(&server.repository(), "");
    assert_eq!(text_of(&fetcher(), &of).await, Ok("one".into()));
    assert_eq!(
        server.asked(),
        ["/charts/index.yaml", "/charts/redis-1.0.0.tgz"]
    );
    // After a restart; and whatever the registry has by then.
    let second = server.publish("two", "redis-1.0.0.tgz");
    assert_eq!(text_of(&fetcher(), &of).await, Ok("one".into()));
    assert_eq!(server.asked(), [""; 0]);
    // The archive is lost, or damaged: the registry's is another one.
    let archives = server.folder.path().join("fetched/archives");
    for damage in [true, false] {
        match damage {
            true => std::fs::write(archives.join(&first), "x").unwrap(),
            false => drop(std::fs::remove_file(archives.join(&first))),
        }
        let Err(Trouble::Author(why)) = text_of(&fetcher(), &of).await else {
            panic!("it rendered what changed");
        };
        assert!(why.contains("changed under the same version"), "{why}");
        assert!(why.contains(&first) && why.contains(&second), "{why}");
    }
    server.publish("one", "redis-1.0.0.tgz");
    assert_eq!(text_of(&fetcher(), &of).await, Ok("one".into()));
    // What is kept is not served once its source is no longer allowed.
    let fetcher = server.fetcher("https://charts.example.com", "");
    let Err(Trouble::Author(why)) = text_of(&fetcher, &of).await else {
        panic!("it may not");
    };
    assert!(
        why.contains(&format!("add `- url: {}`", of.repository)),
        "{why}"
    );
}

#[tokio::test]
async fn an_index_is_held_to_its_digest_and_nobody_redirects_past_the_settings() {
    let server = Server::start().await;
    let of = redis(&server.repository(), "1.0.0");
    let localhost = server.address.replace("127.0.0.1", "localhost");
    let error = async || match text_of(&server.fetcher(&server.repository(), ""), &of).await {
        Err(Trouble::Author(why)) => why,
        other => panic!("{other:?}"),
    };
    // A private address that the settings do not name, in the index or by a redirect.
    let elsewhere = format!("http://{localhost}/charts/redis-1.0.0.tgz?signature=hidden");
    server.publish("one", &elsewhere);
    let why = error().await;
    assert!(
        why.contains("localhost is not asked") && !why.contains("hidden"),
        "{why}"
    );
    server.publish("one", "moved.tgz");
    server.put("/charts/moved.tgz", format!("->{elsewhere}"));
    assert!(error().await.contains("localhost is not asked"));
    // An index is believed only where the settings say so; an archive may be anywhere on the host.
    server.put("/charts/index.yaml", "->/other/index.yaml");
    server.put("/other/index.yaml", "entries:\n");
    let why = error().await;
    assert!(
        why.contains("which is no source of the server's settings"),
        "{why}"
    );
    server.publish("one", "/other/redis.tgz");
    server.put("/other/redis.tgz", packed("another"));
    assert!(error().await.contains("the index says sha256:"));
    server.put("/other/redis.tgz", packed("one"));
    let fetcher = server.fetcher(&server.repository(), "");
    assert_eq!(text_of(&fetcher, &of).await, Ok("one".into()));
    let missing = redis(&server.repository(), "2.0.0");
    let missing = text_of(&fetcher, &missing).await;
    let Err(Trouble::Author(why)) = missing else {
        panic!("{missing:?}");
    };
    assert!(why.contains("has no version 2.0.0 of it"), "{why}");
}

#[tokio::test]
async fn credentials_go_to_their_source_alone_and_into_no_message() {
    let server = Server::start().await;
    let of = redis(&server.repository(), "1.0.0");
    server.publish("one", "/other/redis.tgz");
    server.put("/other/redis.tgz", packed("one"));
    let basic = format!("Basic {}", BASE64.encode("me:hidden"));
    let fetcher = server.fetcher(&server.repository(), "me:hidden\n");
    assert_eq!(text_of(&fetcher, &of).await, Ok("one".into()));
    let asked = [
        format!("/charts/index.yaml {basic}"),
        "/other/redis.tgz".into(),
    ];
    assert_eq!(server.asked(), asked);
    *server.site.wants.lock().unwrap() = Some(("Basic other".into(), "Basic".into()));
    let other = redis(&server.repository(), "3.0.0");
    let Err(Trouble::Author(why)) = text_of(&fetcher, &other).await else {
        panic!("it was not let in");
    };
    assert!(
        why.contains("needs `credentials`") && !why.contains("hidden"),
        "{why}"
    );
}

#[tokio::test]
async fn a_registry_gives_a_chart_for_a_token() {
    let server = Server::start().await;
    server.push("pushed");
    server.put("/token", r#"{"token": "t"}"#);
    let asks = format!(
        "Bearer realm=\"http://{}/token\",service=\"r\",scope=\"repository:charts/redis:pull\"",
        server.address
    );
    *server.site.wants.lock().unwrap() = Some(("Bearer t".into(), asks));
    let registry = format!("oci://{}/charts", server.address);
    let of = redis(&registry, "1.0.0+x");
    let fetcher = server.fetcher(&registry, "me:hidden");
    assert_eq!(text_of(&fetcher, &of).await, Ok("pushed".into()));
    let basic = format!("Basic {}", BASE64.encode("me:hidden"));
    let asked = server.asked();
    assert_eq!(asked[0], "/v2/charts/redis/manifests/1.0.0_x");
    assert_eq!(asked[1], format!("/token {basic}"));
    assert_eq!(asked[2], "/v2/charts/redis/manifests/1.0.0_x Bearer t");
    assert!(
        asked[3].starts_with("/v2/charts/redis/blobs/sha256:") && asked[3].ends_with("Bearer t")
    );
    let Err(Trouble::Author(why)) = text_of(&fetcher, &redis(&registry, "2.0.0")).await else {
        panic!("there is none");
    };
    assert!(why.contains("has no version 2.0.0 of it"), "{why}");
    // A registry that asks for the credentials themselves.
    *server.site.wants.lock().unwrap() = Some((basic, "Basic realm=\"r\"".into()));
    std::fs::remove_dir_all(server.folder.path().join("fetched")).unwrap();
    let fetcher = server.fetcher(&registry, "me:hidden");
    assert_eq!(text_of(&fetcher, &of).await, Ok("pushed".into()));
}

#[tokio::test]
async fn a_source_that_is_away_is_asked_again() {
    let server = Server::start().await;
    let of = redis("http://127.0.0.1:1/charts", "1.0.0");
    let fetcher = server.fetcher("http://127.0.0.1:1/charts", "");
    let error = text_of(&fetcher, &of).await;
    assert!(
        matches!(&error, Err(Trouble::Passing(why)) if why.contains("cannot be reached")),
        "{error:?}"
    );
}
