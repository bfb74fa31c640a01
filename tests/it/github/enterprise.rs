//! A GitHub Enterprise Server in a company's network: a private authority, a proxy as the only way,
//! and no limits of GitHub's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::contract;
use crate::support::corporate::{GITHUB, PASSWORD, REGISTRY};
use crate::support::lab::{CONFIG, Lab, has};
use crate::support::registry::Registry;
use crate::support::{Setup, World};

async fn asleep(version: &'static str) -> World {
    let setup = Setup {
        enterprise: Some(version),
        ..Setup::default()
    };
    World::asleep(setup).await
}

fn log(world: &World) -> String {
    std::fs::read_to_string(world.windlass.log()).unwrap_or_default()
}

/// The first line of the log that has all these words.
async fn says(world: &World, words: &[&str]) -> String {
    world
        .until(&format!("the log says {words:?}"), async || {
            let log = log(world);
            let mut lines = log.lines();
            let found = lines.find(|line| words.iter().all(|word| line.contains(word)))?;
            Some(found.to_string())
        })
        .await
}

/// API, git, receipts and registry: all go through the proxy, to servers of the private authority.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_gets_healthy_through_a_proxy_and_a_private_authority() {
    let (world, registry) = (asleep("3.17.0").await, Registry::start().await);
    let corporate = world.corporate.as_ref().unwrap();
    corporate.serve(REGISTRY, registry.address.clone()).await;
    let lab = Lab::within(world, "", &[("config.yaml", CONFIG)]).await;
    let world = &lab.world;
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    world
        .until("the receipt is pushed", async || {
            world.forge.note("acme/config", "windlass", &merged)
        })
        .await;
    // The runtime reports what only the registry's index connects with the digest in Git.
    let image = format!("{REGISTRY}/acme/lab");
    let commit = registry.run_in_lab(world, &image);
    world.sync_status(&commit, "success").await;
    let object = world.application("lab.staging").await;
    assert_eq!(object["status"]["proven"], json!([registry.announced]));
    let corporate = world.corporate.as_ref().unwrap();
    let connected = corporate.connected().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(
        connected,
        [GITHUB, REGISTRY].map(|host| format!("{host}:443")).into()
    );
    let log = log(world);
    has(
        &log,
        &[
            "GitHub Enterprise Server 3.17.0",
            "GitHub is reached through a proxy",
        ],
    );
    assert!(!log.contains("too old") && !log.contains(PASSWORD), "{log}");
}

/// Who starts it without the authority is told which setting that is.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_trusted_is_told_with_its_setting() {
    let mut world = asleep("3.17.0").await;
    let environment = &mut world.windlass.environment;
    environment.retain(|(name, _)| *name != "WINDLASS_CA_FILE");
    world.start();
    let told = says(&world, &["cannot read GitHub yet"]).await;
    let told = told.split_once("error=").unwrap().1;
    let told = told.split(" pause=").next().unwrap();
    insta::assert_snapshot!(told, @"list installations: GitHub cannot be reached: the certificate of github.corp.test is signed by an authority that windlass does not trust (UnknownIssuer): give that authority's certificate by --ca-file (WINDLASS_CA_FILE)");
}

/// What the proxy does is told as the proxy's doing, without its password.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named() {
    let world = asleep("3.17.0").await;
    let corporate = world.corporate.as_ref().unwrap();
    let proxy = corporate.proxy.clone();
    let mut told = Vec::new();
    for status in [407, 403] {
        corporate.refuse_by(status);
        let before = log(&world).len();
        world.start();
        let said = world
            .until("the log names the proxy", async || {
                let log = log(&world)[before..].to_string();
                let line = log.lines().find(|line| line.contains("cannot read"))?;
                Some(line.to_string())
            })
            .await;
        world.kill();
        let said = said
            .split_once("error=")
            .unwrap()
            .1
            .replace(&proxy, "PROXY");
        told.push(said.split(" pause=").next().unwrap().to_string());
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    list installations: GitHub cannot be reached: the proxy PROXY does not accept the credentials in its variable (407)
    list installations: GitHub cannot be reached: the proxy PROXY refuses to connect to github.corp.test
    ");
    assert!(!log(&world).contains(PASSWORD));
}

/// Registry and git fail in the same words as the API.
#[tokio::test(flavor = "multi_thread")]
async fn the_registry_and_git_name_the_proxy_as_well() {
    let (world, registry) = (asleep("3.17.0").await, Registry::start().await);
    let image = format!("{REGISTRY}/acme/lab");
    let lab = Lab::within(world, "", &[("config.yaml", CONFIG)]).await;
    let world = &lab.world;
    // The registry is behind no name that the proxy knows.
    registry.run_in_lab(world, &image);
    let proxy = world.corporate.as_ref().unwrap().proxy.clone();
    let told = says(world, &["an image's index could not be read"]).await;
    let refuses = format!("the proxy {proxy} refuses to connect to");
    has(&told, &[&format!("{refuses} {REGISTRY}")]);
    // Git connects anew for each fetch.
    world.corporate.as_ref().unwrap().refuse_by(403);
    world.commit("Another commit", &[("README.md", Some("New"))]);
    let told = says(world, &["fetch acme/config", "the proxy"]).await;
    has(
        &told,
        &[&format!("the proxy {proxy} refuses to connect to {GITHUB}")],
    );
}

/// An older server is told as such, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_told_once() {
    let world = asleep("3.16.4").await;
    world.start();
    world.settled().await;
    let log = log(&world);
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("too old"))
        .collect();
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    has(
        warning,
        &[
            "WARN",
            "GitHub Enterprise Server 3.16.4 is too old: windlass needs 3.17",
        ],
    );
}

/// Everything that windlass asks of GitHub by REST is in GitHub's description of the oldest server.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_server_has_what_a_life_asks_for() {
    let world = World::of_one_stage().await;
    let asked = world.life("1.5.0").await;
    let text = contract::folder().expect("`make test` fetches the descriptions");
    let text = text.join("node_modules/@octokit/openapi/generated/ghes-3.17.json");
    let described: Value = serde_json::from_str(&std::fs::read_to_string(text).unwrap()).unwrap();
    let paths = described["paths"].as_object().unwrap();
    let lacking: Vec<_> = asked
        .reads
        .iter()
        .chain(&asked.writes)
        .filter(|asked| !asked.ends_with("/graphql") && !is_described(paths, asked))
        .collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// `GET /repos/*/*/pulls`: whether a path with that method is described.
fn is_described(paths: &serde_json::Map<String, Value>, asked: &str) -> bool {
    let (method, route) = asked.split_once(' ').unwrap();
    let asked: Vec<_> = route.split('/').collect();
    paths.iter().any(|(path, methods)| {
        let segments: Vec<_> = path.split('/').collect();
        let fits = |(ours, theirs): (&&str, &&str)| ours == theirs || theirs.starts_with('{');
        methods.get(method.to_lowercase()).is_some()
            && segments.len() == asked.len()
            && asked.iter().zip(&segments).all(fits)
    })
}
