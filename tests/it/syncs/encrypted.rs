//! Secrets that SOPS encrypted in Git: decrypted for the cluster, and shown nowhere.

use base64::Engine as _;
use serde_json::Value;
use windlass::sandbox::example;

use crate::support::lab::{has, has_not};
use crate::support::{Setup, World};

const KUSTOMIZATION: &str = "apps/shop/staging/kustomization.yaml";
const SECRET: &str = include_str!("../../fixtures/sops/secret.yaml");
/// The same with another password.
const ROTATED: &str = include_str!("../../fixtures/sops/rotated.yaml");
const VARIABLES: &str = include_str!("../../fixtures/sops/variables.env");
const FOR_OTHERS: &str = include_str!("../../fixtures/sops/for-others.yaml");

/// A world whose project has the age key, and its kustomization with these files as well.
async fn world() -> World {
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sops/key.txt");
    let grant = format!("    sops: {{ ageKeyFile: {key} }}\n    kinds:");
    World::with(Setup {
        projects: Some(example::PROJECTS.replace("    kinds:", &grant)),
        ..Setup::default()
    })
    .await
}

fn with_resource(world: &World, file: &str) -> String {
    let listed = format!("resources:\n  - {file}\n");
    world
        .file(KUSTOMIZATION)
        .replacen("resources:\n", &listed, 1)
}

async fn data(world: &World) -> Option<Value> {
    let namespace = world.namespace("shop-staging");
    let secret = world.get("v1", "Secret", "secrets", &namespace, "database");
    Some(secret.await?["data"].clone())
}

fn text(data: &Value, key: &str) -> String {
    let value = data[key].as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(value);
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_secret_is_applied_and_shown_nowhere() {
    let world = world().await;
    let file = "apps/shop/staging/database.enc.yaml";
    let listed = with_resource(&world, "database.enc.yaml");
    let number = world.propose(
        "bob",
        "secret",
        &[(file, Some(SECRET)), (KUSTOMIZATION, Some(&listed))],
    );
    world.previewed(number).await;
    let mut shown = world.conversation(number);
    has(&shown, &["1 created", "password: (hidden)"]);
    let commit = world.commit(
        "Secret",
        &[(file, Some(SECRET)), (KUSTOMIZATION, Some(&listed))],
    );
    world.sync_status(&commit, "success").await;
    let applied = data(&world).await.unwrap();
    assert_eq!(text(&applied, "password"), "correct horse: battery");
    assert_eq!(text(&applied, "token"), "swordfish");
    // Another password: its key changes, and no other.
    let number = world.propose("bob", "rotate", &[(file, Some(ROTATED))]);
    world.previewed(number).await;
    let rotated = world.conversation(number);
    has(&rotated, &["1 changed", "+  password: (hidden, new)"]);
    has_not(&rotated, &["token: (hidden,"]);
    shown += &rotated;
    let commit = world.commit("Rotate", &[(file, Some(ROTATED))]);
    world.sync_status(&commit, "success").await;
    let applied = data(&world).await.unwrap();
    assert_eq!(text(&applied, "password"), "staple horse: battery");
    // A guess in plain text looks the same whether it is right or wrong.
    let mut seen = Vec::new();
    for (branch, guess) in [("right", "staple horse: battery"), ("wrong", "12345")] {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: database}}\ntype: Opaque\nstringData: {{password: '{guess}', port: '5432', empty: ''}}\ndata: {{token: c3dvcmRmaXNo}}\n"
        );
        let number = world.propose("bob", branch, &[(file, Some(&text))]);
        world.previewed(number).await;
        let told = world.conversation(number);
        has(
            &told,
            &["+  password: (hidden, new)", "+  token: (hidden, new)"],
        );
        let (_, diff) = told.split_once("```diff").unwrap();
        seen.push(diff.split_once("```").unwrap().0.to_string());
    }
    assert_eq!(seen[0], seen[1]);
    // Somebody's change by hand is taken back.
    let namespace = world.namespace("shop-staging");
    let patch = r#"{"stringData":{"password":"mine"}}"#;
    world.kubectl(&["-n", &namespace, "patch", "secret", "database", "-p", patch]);
    world
        .until("the password is Git's again", async || {
            let data = data(&world).await?;
            (text(&data, "password") == "staple horse: battery").then_some(())
        })
        .await;
    world.quiet().await;
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    let objects = format!("{:?}", world.applications().await);
    for (where_, told) in [("thread", &shown), ("log", &log), ("status", &objects)] {
        for secret in ["battery", "swordfish", "c3dvcmRmaXNo", "AGE-SECRET"] {
            assert!(!told.contains(secret), "{secret} is in the {where_}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_for_others_is_named_and_hides_nothing() {
    let world = world().await;
    let listed = with_resource(&world, "others.enc.yaml");
    let listed = listed.replacen("resources:\n", "resources:\n  - map.enc.yaml\n", 1);
    let config = SECRET
        .replace("kind: Secret", "kind: ConfigMap")
        .replace("name: database", "name: map")
        .replace("type: Opaque\n", "");
    let number = world.propose(
        "bob",
        "others",
        &[
            ("apps/shop/staging/others.enc.yaml", Some(FOR_OTHERS)),
            ("apps/shop/staging/map.enc.yaml", Some(&config)),
            (KUSTOMIZATION, Some(&listed)),
            (
                "apps/shop/staging/config.yaml",
                Some(
                    &world
                        .file("apps/shop/staging/config.yaml")
                        .replace("hello", "hi"),
                ),
            ),
        ],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    let shown = world.conversation(number);
    has(
        &shown,
        &[
            "+  greeting: hi",
            "it is encrypted with SOPS for `age1nhat22g7ngyaqugmleqw9yvhuy5zte2edeu64tvhcqvz5kvqcassmsjm36`, and no age key of this project opens that",
            "it is encrypted with SOPS, and no Secret",
        ],
    );
    has_not(&shown, &["battery", "AES256"]);
}

/// As users of Argo CD name encrypted files: by KSOPS, which is not run here.
#[tokio::test(flavor = "multi_thread")]
async fn what_ksops_would_decrypt_is_decrypted_too() {
    let world = world().await;
    let folder = "apps/shop/staging";
    let listed = world.file(KUSTOMIZATION) + "generators:\n  - secrets.yaml\n";
    let generator = |more: &str| {
        format!(
            "apiVersion: viaduct.ai/v1\nkind: ksops\nmetadata: {{name: secrets}}\nfiles: [./enc/database.yaml]\n{more}"
        )
    };
    let (file, encrypted) = (
        format!("{folder}/secrets.yaml"),
        format!("{folder}/enc/database.yaml"),
    );
    let commit = world.commit(
        "KSOPS",
        &[
            (&file, Some(&generator(""))),
            (&encrypted, Some(SECRET)),
            (KUSTOMIZATION, Some(&listed)),
        ],
    );
    world.sync_status(&commit, "success").await;
    let applied = data(&world).await.unwrap();
    assert_eq!(text(&applied, "password"), "correct horse: battery");
    // What it would make by other ways is refused with the way out.
    let odd = generator("secretFrom: []\n");
    let hashed = SECRET.replacen(
        "name: database",
        "name: database\n    annotations: {kustomize.config.k8s.io/needs-hash: 'true'}",
        1,
    );
    for (branch, path, text, why) in [
        (
            "from",
            &file,
            &odd,
            "`secretFrom` of ksops is not supported: name encrypted Secrets in `files`",
        ),
        (
            "hash",
            &encrypted,
            &hashed,
            "`./enc/database.yaml` has the annotation `kustomize.config.k8s.io/needs-hash`",
        ),
    ] {
        let number = world.propose("bob", branch, &[(path, Some(text))]);
        world.previewed(number).await;
        has(&world.conversation(number), &[why]);
    }
}

/// Flux's way to keep a file encrypted: a generator reads it.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_files_of_a_generator_are_opened_in_its_secret() {
    let world = world().await;
    let generator = "secretGenerator:\n  - {name: database, envs: [database.env], options: {disableNameSuffixHash: true}}\n";
    let listed = world.file(KUSTOMIZATION) + generator;
    let files = [
        ("apps/shop/staging/database.env", Some(VARIABLES)),
        (KUSTOMIZATION, Some(listed.as_str())),
    ];
    let number = world.propose("bob", "generated", &files);
    world.previewed(number).await;
    let shown = world.conversation(number);
    has(&shown, &["1 created", "PASSWORD: (hidden)"]);
    has_not(&shown, &["ENC[", "sops", "battery", "AGE ENCRYPTED"]);
    let commit = world.commit("Generated", &files);
    world.sync_status(&commit, "success").await;
    let applied = data(&world).await.unwrap();
    assert_eq!(text(&applied, "PASSWORD"), "correct horse: battery");
    assert_eq!(applied.as_object().unwrap().len(), 3, "{applied}");
}
