//! `windlass setup`: from no App at all to the first preview, as a person goes through the pages.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http::{HeaderMap, Method};
use reqwest::redirect::Policy;
use serde_json::json;

use crate::support::lab::{has, has_not};
use crate::support::{Setup, World, plane};

/// A running `windlass setup`.
struct Wizard {
    child: Child,
    page: String,
    /// The address that the terminal printed.
    opened: String,
    http: reqwest::Client,
}

/// A story that fails, or needs no more of it, leaves none behind.
impl Drop for Wizard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Wizard {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stderr = child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr);
        lines.read_line(&mut line).unwrap();
        // What it says later is not read, and must not block it.
        std::thread::spawn(move || lines.lines().map_while(Result::ok).count());
        let page = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let page = page.unwrap_or_else(|| panic!("{line}"));
        let (page, key) = page.split_once("/?key=").unwrap();
        // The cookie that the browser gets from that address.
        let mut headers = HeaderMap::new();
        let cookie = format!("windlass-setup={key}");
        headers.insert("cookie", cookie.parse().unwrap());
        Self {
            child,
            page: page.into(),
            http: reqwest::Client::builder()
                .redirect(Policy::none())
                .default_headers(headers)
                .build()
                .unwrap(),
            opened: format!("{page}/?key={key}"),
        }
    }

    async fn html(&self) -> String {
        let answer = self.http.get(&self.page).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Posts a form: the status, where it leads, and the page.
    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let mut address = reqwest::Url::parse("http://form/").unwrap();
        address.query_pairs_mut().extend_pairs(fields);
        let request = self.http.post(url);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let body = address.query().unwrap_or_default().to_string();
        let answer = request.body(body).send().await.unwrap();
        let location = answer.headers().get("location");
        let location = location.map_or("", |value| value.to_str().unwrap());
        let location = location.to_string();
        let status = answer.status().as_u16();
        (status, location, answer.text().await.unwrap())
    }

    fn ended(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        let mut said = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        std::io::Read::read_to_string(&mut stdout, &mut said).unwrap();
        (code, said)
    }
}

fn command(world: &World, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command
        .args(["setup", "--github", world.forge.url()])
        .args(["--url", &world.windlass.url, "--name", "windlass-acme"])
        .args(["--organization", "acme", "--folder"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The value of a form's field.
fn field(html: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let bare = format!("name={name} value=\"");
    let (_, rest) = html
        .split_once(&start)
        .or_else(|| html.split_once(&bare))
        .unwrap_or_else(|| panic!("no field {name} in {html}"));
    plain(rest.split('"').next().unwrap())
}

/// Without HTML's escapes.
fn plain(html: &str) -> String {
    let escapes = [
        ("&quot;", "\""),
        ("&#x2f;", "/"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&amp;", "&"),
    ];
    escapes
        .iter()
        .fold(html.to_string(), |text, (from, to)| text.replace(from, to))
}

/// Goes through GitHub's pages, up to the way back.
async fn registered(world: &World, wizard: &Wizard) {
    // The page, and the button to GitHub.
    let page = wizard.html().await;
    has(
        &plain(&page),
        &["windlass-acme", &format!("{}/webhook", world.windlass.url)],
    );
    let action = page
        .split("action=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let action = plain(action);
    let manifest = field(&page, "manifest");
    let (status, _, github) = wizard.post(&action, &[("manifest", &manifest)]).await;
    assert_eq!(status, 200, "{github}");
    let fields = [
        ("name", field(&github, "name")),
        ("state", field(&github, "state")),
        ("manifest", field(&github, "manifest")),
    ];
    let fields = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let create = format!("{}/settings/apps/create", world.forge.url());
    let (status, back, said) = wizard.post(&create, &fields).await;
    assert_eq!(status, 302, "{said}");
    // Somebody else's code leads nowhere.
    let forged = format!("{}/created?code=abc&state=wrong", wizard.page);
    assert_eq!(wizard.http.get(forged).send().await.unwrap().status(), 403);
    assert_eq!(wizard.http.get(&back).send().await.unwrap().status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_no_app_to_the_first_preview() {
    let world = World::asleep(Setup::default()).await;
    world.commit("No windlass yet", &[("windlass.yaml", None)]);
    {
        let mut state = world.forge.state();
        let installed: Vec<_> = state.installations.iter().map(|one| one.id).collect();
        for id in installed {
            state.remove_installation(id);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("credentials");
    let wizard = Wizard::start(command(&world, &folder));
    // Others of this machine have not the address that the terminal printed.
    let other = reqwest::Client::builder().redirect(Policy::none()).build();
    let other = other.unwrap();
    let seen = other.get(&wizard.page).send().await.unwrap();
    assert_eq!(seen.status(), 403);
    let opened = other.get(&wizard.opened).send().await.unwrap();
    let cookie = opened.headers()["set-cookie"].to_str().unwrap();
    has(cookie, &["HttpOnly", "SameSite=Lax"]);
    registered(&world, &wizard).await;
    let page = wizard.html().await;
    has(
        &page,
        &[
            "<b>windlass-acme</b> is registered",
            "Waiting for GitHub to say where it is installed",
        ],
    );
    let (id, pem, secret) = {
        let app = &world.forge.state().app;
        (
            app.id.to_string(),
            app.private_key.clone(),
            app.webhook_secret.clone(),
        )
    };
    for (name, expected) in [
        ("app-id", &id),
        ("private-key.pem", &pem),
        ("webhook-secret", &secret),
    ] {
        let file = folder.join(name);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), *expected);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        has_not(&page, &[secret.as_str(), "PRIVATE KEY"]);
    }
    assert_eq!(
        std::fs::read_to_string(folder.join("events-token"))
            .unwrap()
            .len(),
        64
    );
    // Nothing of it is lost by a second try.
    let again = command(&world, &folder).output().unwrap();
    has(
        &String::from_utf8(again.stderr).unwrap(),
        &["has credentials of an App already"],
    );
    // Installed, the repository is there, and its first pull request a button.
    let install = format!("{}/apps/windlass-acme/installations/new", world.forge.url());
    has(&page, &["installations"]);
    wizard.post(&install, &[]).await;
    let page = wizard.html().await;
    has(&plain(&page), &["<td>acme/config</td>"]);
    let propose = format!("{}/propose", wizard.page);
    let (status, ..) = wizard
        .post(
            &propose,
            &[("secret", "guess"), ("repository", "acme/config")],
        )
        .await;
    assert_eq!(status, 403);
    let ours = field(&page, "secret");
    wizard
        .post(&propose, &[("secret", &ours), ("repository", "acme/shop")])
        .await;
    has(
        &plain(&wizard.html().await),
        &["role=\"alert\"", "acme/shop: "],
    );
    let (status, ..) = wizard
        .post(
            &propose,
            &[("secret", &ours), ("repository", "acme/config")],
        )
        .await;
    assert_eq!(status, 303);
    let page = wizard.html().await;
    has(&page, &["The pull request"]);
    has_not(&page, &["role=\"alert\""]);
    let pull = world.pull_from("windlass/setup").unwrap();
    insta::assert_snapshot!(pull["body"].as_str().unwrap(), @r"
    This `windlass.yaml` says which directories are applications, and where they go. It was made from what this repository holds: read it, and change what is not meant so.

    Before it is merged, and before windlass runs, nothing is applied. The first sync creates what is missing, in every stage. What exists already it leaves alone: it lists what it would change, and waits for `/adopt`. `windlass plan --all` in a working copy of this branch shows both.

    The file names clusters: windlass has to know each of them, by `--cluster NAME=KUBECONFIG`; `local` is the one that it runs in. The images that pull requests shall promote are not in it yet: add them under `images:`, with the repository whose CI announces each.
    ");
    let done = format!("{}/done", wizard.page);
    wizard.post(&done, &[("secret", &ours)]).await;
    let (code, said) = wizard.ended();
    assert_eq!(code, 0);
    has(
        &said,
        &[
            "windlass serve \\\n    --github-app-id",
            "--config-repository acme/config",
            &format!("GitHub has to reach {}/webhook", world.windlass.url),
        ],
    );
    // The first preview.
    let number = pull["number"].as_u64().unwrap();
    world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    world.start();
    world.settled().await;
    let config = "apps/shop/staging/config.yaml";
    let text = world.file(config).replace("hello", "hi");
    let number = world.propose("bob", "first", &[(config, Some(&text))]);
    assert_eq!(world.previewed(number).await["conclusion"], "success");
    has(
        &world.conversation(number),
        &["shop/staging", "+  greeting: hi"],
    );
}

/// The credentials go into a Secret, which has to be free before there is an App.
#[tokio::test(flavor = "multi_thread")]
async fn the_credentials_are_kept_in_a_secret() {
    let world = World::asleep(Setup::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let with = |secret: &str| {
        let mut command = command(&world, &folder.path().join("none"));
        command.env("KUBECONFIG", plane().kubeconfig());
        command.args(["--secret", secret]);
        command
    };
    let refused = |secret: &str| {
        let said = with(secret).output().unwrap();
        assert!(!said.status.success());
        String::from_utf8(said.stderr).unwrap()
    };
    has(
        &refused("no-such-namespace/windlass"),
        &["`kubectl create namespace no-such-namespace` makes it"],
    );
    let home = world.home();
    let place = format!("{home}/app-credentials");
    let wizard = Wizard::start(with(&place));
    registered(&world, &wizard).await;
    let secret = world
        .get("v1", "Secret", "secrets", &home, "app-credentials")
        .await
        .unwrap();
    let keys: Vec<_> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "app-id",
            "events-token",
            "private-key.pem",
            "webhook-secret"
        ]
    );
    let page = wizard.html().await;
    has(&page, &["helm install windlass"]);
    // The repository has the file already: that is no error.
    let fields = [
        ("secret", field(&page, "secret")),
        ("repository", "acme/config".into()),
    ];
    let fields = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    wizard
        .post(&format!("{}/propose", wizard.page), &fields)
        .await;
    let page = wizard.html().await;
    has(&page, &["has a windlass.yaml", "{acme"]);
    has_not(&page, &["role=\"alert\""]);
    has(
        &refused(&place),
        &["exists: its App would lose its credentials"],
    );
    assert!(!folder.path().join("none").exists());
}
