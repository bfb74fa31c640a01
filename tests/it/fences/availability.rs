//! Nothing takes the service down: budgets, crashes, restarts.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::has;
use crate::support::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_hold_no_memory_and_no_connection() {
    use std::io::{Read as _, Write as _};
    let world = World::new().await;
    let address = world.windlass.url.trim_start_matches("http://").to_string();
    let resident = || windlass::judged_by::resident(world.pid().unwrap()).unwrap() >> 20;
    let before = resident();
    // Bodies without a signature are not read at all; with a wrong one only as many as there is
    // room for.
    let mut held = Vec::new();
    for number in 0..40 {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream
            .set_write_timeout(Some(std::time::Duration::from_millis(300)))
            .unwrap();
        let signature = if number % 2 == 0 {
            format!("x-hub-signature-256: sha256={}\r\n", "0".repeat(64))
        } else {
            String::new()
        };
        let head = format!(
            "POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 25000000\r\n{signature}\r\n"
        );
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&vec![b'x'; 20 << 20]));
        held.push(stream);
    }
    let after = resident();
    assert!(after < before + 160, "{before} MiB became {after} MiB");
    drop(held);
    // Half a request is closed after its deadline.
    let mut half = std::net::TcpStream::connect(&address).unwrap();
    half.write_all(b"POST /webhook HTTP/1.1\r\nhost").unwrap();
    half.set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).unwrap();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    // More connections than there are places: none of them costs the next one its answer once they
    // are gone.
    let many: Vec<_> = (0..700)
        .filter_map(|_| std::net::TcpStream::connect(&address).ok())
        .collect();
    drop(many);
    world.announce("1.1.0").await;
    assert_eq!(world.pull_request("staging").await, 1);
    // Metrics are elsewhere.
    let answer = reqwest::get(format!("{}/metrics", world.windlass.url))
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renderer_elsewhere_does_the_same_and_its_absence_is_said() {
    let world = World::with(Setup {
        renders_elsewhere: true,
        ..Setup::default()
    })
    .await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "hi",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "success");
    drop(world.renderer.lock().unwrap().take());
    let number = world.propose(
        "bob",
        "ho",
        &[(file, Some(&world.file(file).replace("hello", "ho")))],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(&world.conversation(number), &["no renderer listens at"]);
    *world.renderer.lock().unwrap() =
        Some(crate::support::renderer(world.cache().parent().unwrap()));
    world.comment("bob", number, "/preview");
    world
        .until("it is rendered again", async || {
            world
                .conversation(number)
                .contains("+  greeting: ho")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_takes_no_more_than_its_part() {
    // The forge works on the bomb too, in this process: what windlass asks of the cluster does not
    // go through it.
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let path = |file: &str| format!("apps/bomb/staging/{file}");
    let namespace = world.namespace("bomb-staging");
    let chart = "apiVersion: v2\nname: bomb\nversion: 0.1.0\n";
    let propose = |branch: &str, template: &str| {
        let (about, template_path) = (path("Chart.yaml"), path("templates/a.yaml"));
        let space = (
            path("templates/namespace.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
        );
        world.propose(
            "bob",
            branch,
            &[
                (&about, Some(chart)),
                (&template_path, Some(template)),
                (&space.0, Some(&space.1)),
            ],
        )
    };
    let number = propose(
        "memory",
        "{{ $x := repeat 1500000000 \"x\" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"{{ len $x }}\"}\n",
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(&world.conversation(number), &["bomb/staging"]);
    // A tree of a quarter of a million files out of a few objects.
    let repo = world.forge.repository_path("acme", "config");
    let git = |arguments: &[&str]| windlass::sandbox::forge::git::git(&repo, arguments).unwrap();
    let node = |sha: &str, kind: &str| windlass::sandbox::forge::git::Node {
        mode: if kind == "tree" { "040000" } else { "100644" }.into(),
        kind: kind.into(),
        sha: sha.into(),
    };
    let blob = windlass::sandbox::forge::git::write_blob(&repo, b"a: b\n").unwrap();
    let mut below = node(&blob, "blob");
    for _ in 0..5 {
        let names: Vec<String> = (0..12).map(|n| format!("f{n}")).collect();
        let changes: Vec<_> = names
            .iter()
            .map(|name| windlass::sandbox::forge::git::NodeChange {
                path: name,
                node: Some(below.clone()),
            })
            .collect();
        below = node(
            &windlass::sandbox::forge::git::write_tree(&repo, None, &changes).unwrap(),
            "tree",
        );
    }
    let tip = world.tip();
    let base = git(&["rev-parse", &format!("{tip}^{{tree}}")]);
    let change = windlass::sandbox::forge::git::NodeChange {
        path: "apps/bomb",
        node: Some(below),
    };
    let tree = windlass::sandbox::forge::git::write_tree(&repo, Some(&base), &[change]).unwrap();
    let post = |path: &str, body: Value| world.as_user("bob", Method::POST, path, body);
    let commit = post(
        "git/commits",
        json!({"message": "A bomb", "tree": tree, "parents": [tip]}),
    )["sha"]
        .clone();
    post("git/refs", json!({"ref": "refs/heads/tree", "sha": commit}));
    let number = post(
        "pulls",
        json!({"title": "A bomb", "head": "tree", "base": "main"}),
    )["number"]
        .as_u64()
        .unwrap();
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(&world.conversation(number), &["more than 200000 files"]);
    // What renders was laid out, and is gone; a renderer that waits keeps its own folder.
    let folders = std::fs::read_dir(world.cache().join("render")).unwrap();
    for folder in folders.flatten() {
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "{}", folder.path().display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_windlass_died_of_is_left_alone_until_somebody_asks() {
    let world = World::new().await;
    world.quiet().await;
    world.kill();
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "bad",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    // As two deaths in the middle of it leave it.
    let head = world.head(number);
    std::fs::write(
        world.cache().join(format!("heads/acme__config__{number}")),
        format!("{head}\n{head}\n"),
    )
    .unwrap();
    world.start();
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(
        &world.conversation(number),
        &[
            "windlass stopped twice while it previewed this commit",
            "/preview",
        ],
    );
    world.comment("mia", number, "/preview");
    world
        .until("it is tried again", async || {
            world
                .conversation(number)
                .contains("-  greeting: hello\n+  greeting: hi")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_given_back() {
    let world = World::new().await;
    let holder = async || {
        let lease = world
            .get(
                "coordination.k8s.io/v1",
                "Lease",
                "leases",
                &world.home(),
                "windlass",
            )
            .await?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_string)
    };
    assert_eq!(holder().await.as_deref(), Some("windlass"));
    std::process::Command::new("kill")
        .arg(world.pid().unwrap().to_string())
        .status()
        .unwrap();
    world
        .until("it ends", async || (!world.is_running()).then_some(()))
        .await;
    assert_eq!(holder().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_grew_is_made_anew() {
    let world = World::new().await;
    world.quiet().await;
    let packs = world.cache().join("mirrors/acme/config.git/objects/pack");
    for number in 0..2_001 {
        std::fs::write(packs.join(format!("left-{number}")), "").unwrap();
    }
    let file = "apps/shop/staging/config.yaml";
    let commit = world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "On",
            &[(file, Some(&world.file(file).replace("hello", "hi")))],
        )
        .unwrap();
    world.sync_status(&commit, "success").await;
    assert!(std::fs::read_dir(&packs).unwrap().count() < 20);
    let number = world.propose(
        "bob",
        "on",
        &[(file, Some(&world.file(file).replace("hi", "ho")))],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "success");
}
