//! What went wrong elsewhere, tried here: `docs/incidents.md` has the table.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::Role;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};
use crate::support::{World, plane};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: lab}\nstringData: {token: CANARY-git}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_of_a_secret_that_was_changed_by_hand_is_not_confirmed() {
    let lab = Lab::ruled("    drift: report\n", &[("secret.yaml", SECRET)]).await;
    lab.kubectl(&[
        "patch",
        "secret/lab",
        "--type=merge",
        "-p",
        r#"{"stringData":{"token":"CANARY-live"}}"#,
    ]);
    lab.world
        .until("the drift is reported", async || {
            lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .contains("drift is reported")
                .then_some(())
        })
        .await;
    let (_, right) = lab
        .change(
            "right",
            &[(
                "secret.yaml",
                Some(&SECRET.replace("CANARY-git", "CANARY-live")),
            )],
        )
        .await;
    let (_, wrong) = lab
        .change(
            "wrong",
            &[(
                "secret.yaml",
                Some(&SECRET.replace("CANARY-git", "CANARY-else")),
            )],
        )
        .await;
    let told = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("<!--") && !line.starts_with("<sub>"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&right), told(&wrong), "both read the same");
    has_not(&right, &["CANARY", "already"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_in_any_text_when_they_are_refused() {
    let world = World::new().await;
    world.up_to_review("1.1.0").await;
    let mut secrets: Vec<String> = {
        let mut state = world.forge.state();
        let mut known: Vec<_> = state.tokens.keys().cloned().collect();
        known.extend([
            state.app.webhook_secret.clone(),
            state.app.private_key.clone(),
        ]);
        // GitHub has forgotten all tokens: each request fails until there is a new one.
        state.tokens.clear();
        known
    };
    secrets.push(world.windlass.events_token.clone());
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {stage: staging, greeting: again}\n";
    let commit = world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "More",
            &[("apps/shop/staging/config.yaml", Some(config))],
        )
        .unwrap();
    world.sync_status(&commit, "success").await;
    let mut all = std::fs::read_to_string(world.windlass.log()).unwrap();
    all.push_str(&Value::from(world.applications().await).to_string());
    all.push_str(
        &Value::from(
            world
                .list(
                    "windlass.dev/v1alpha1",
                    "Promotion",
                    "promotions",
                    &world.home(),
                )
                .await,
        )
        .to_string(),
    );
    for number in 1..=2 {
        all.push_str(&world.conversation(number));
    }
    assert!(all.contains("More") || !all.is_empty());
    for secret in secrets.iter().filter(|secret| secret.len() > 8) {
        assert!(!all.contains(secret.as_str()), "{}… leaked", &secret[..6]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_refused_before_it_is_read_and_nothing_stops() {
    let world = World::new().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |signature: &str, body: Vec<u8>| {
        let request = http
            .post(format!("{}/webhook", world.windlass.url))
            .header("x-github-event", "push");
        let answer = request
            .header("x-hub-signature-256", signature)
            .body(body)
            .send()
            .await;
        answer.map(|answer| answer.status().as_u16()).unwrap_or(413)
    };
    let wrong = format!("sha256={}", "0".repeat(64));
    assert_eq!(send(&wrong, vec![b'x'; (25 << 20) + 1]).await, 413);
    assert_eq!(
        send(&wrong, b"{}".to_vec()).await,
        401,
        "and one with a wrong signature is not parsed"
    );
    assert_eq!(
        send("sha256=0", b"{}".to_vec()).await,
        401,
        "nor one with none"
    );
    assert!(world.is_running());
    world.announce("1.1.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_out_of_the_repository_and_too_many_files_are_refused() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let tip = lab.world.tip();
    let base = lab.world.read(&format!("git/commits/{tip}"))["tree"]["sha"].clone();
    let post = |path: &str, body: Value| lab.world.as_user("bob", Method::POST, path, body);
    let link = json!([{"path": "apps/lab/staging/link.yaml", "mode": "120000", "type": "blob", "content": "../../../../../etc/passwd"}]);
    let tree = post("git/trees", json!({"base_tree": base, "tree": link}))["sha"].clone();
    let commit = post(
        "git/commits",
        json!({"message": "A link", "tree": tree, "parents": [tip]}),
    )["sha"]
        .clone();
    post("git/refs", json!({"ref": "refs/heads/link", "sha": commit}));
    let number = post(
        "pulls",
        json!({"title": "A link", "head": "link", "base": "main"}),
    )["number"]
        .as_u64()
        .unwrap();
    assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
    has(
        &lab.world.conversation(number),
        &["symbolic link that leads out of the repository"],
    );
    let many: Vec<(String, String)> = (0..2_001)
        .map(|n| (format!("apps/lab/staging/f{n}.yaml"), format!("# {n}\n")))
        .collect();
    let many: Vec<_> = many
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let number = lab.world.propose("bob", "many", &many);
    assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
    has(&lab.world.conversation(number), &["more than 2000 files"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_was_taken_away_counts_no_more() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let (number, _) = lab
        .change(
            "more",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    lab.world.approve("mia", number);
    lab.world.comment("bob", number, "/sync");
    lab.world
        .until("it is carried out", async || {
            lab.world
                .conversation(number)
                .contains("is being synced")
                .then_some(())
        })
        .await;
    {
        let mut state = lab.world.forge.state();
        let repo = state
            .repositories
            .iter_mut()
            .find(|repo| repo.full_name() == "acme/config")
            .unwrap();
        repo.roles.insert("bob".into(), Role::Read);
        repo.roles.insert("mia".into(), Role::Read);
    }
    lab.world.comment("bob", number, "/sync");
    lab.world.comment("ada", number, "/why");
    lab.world
        .until("the approval does not count", async || {
            lab.world
                .conversation(number)
                .contains("0 of 1 approvals")
                .then_some(())
        })
        .await;
    let told = lab.world.conversation(number);
    assert_eq!(
        told.matches("is being synced").count(),
        1,
        "who may only read is not heard:\n{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_anew_under_an_old_name_is_not_pruned() {
    let extra = CONFIG.replace("name: lab", "name: extra");
    let lab = Lab::with(&[("config.yaml", CONFIG), ("extra.yaml", &extra)]).await;
    let live = async || lab.object("v1", "ConfigMap", "configmaps", "extra").await;
    let label = live().await["metadata"]["labels"]["windlass.dev/owner"]
        .as_str()
        .unwrap()
        .to_string();
    lab.world.quiet().await;
    lab.world.kill();
    lab.kubectl(&["delete", "configmap/extra"]);
    lab.with_file(
        &["create"],
        &extra.replace(
            "name: extra",
            &format!("name: extra\n  labels: {{windlass.dev/owner: {label}}}"),
        ),
    );
    let uid = live().await["metadata"]["uid"].clone();
    let commit = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "No extra",
            &[("apps/lab/staging/extra.yaml", None)],
        )
        .unwrap();
    lab.world.start();
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(
        live().await["metadata"]["uid"],
        uid,
        "somebody else's object of the same name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_read_retires_nothing() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let uid = lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"].clone();
    let catalog = lab.world.file("windlass.yaml");
    let broken = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Broken",
            &[("windlass.yaml", Some("version: ["))],
        )
        .unwrap();
    has(
        &lab.world.sync_status(&broken, "failure").await,
        &["windlass.yaml"],
    );
    lab.world.quiet().await;
    lab.world.kill();
    lab.world.start();
    lab.world.quiet().await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"],
        uid
    );
    let status = lab.world.application("lab.staging").await["status"].clone();
    assert!(
        status["confirm"].is_null() && !status["inventory"].as_array().unwrap().is_empty(),
        "{status}"
    );
    let mended = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Mended",
            &[("windlass.yaml", Some(&catalog))],
        )
        .unwrap();
    lab.world.sync_status(&mended, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_renamed_takes_its_objects_along() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let uid = async || {
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"].clone()
    };
    let before = uid().await;
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: other\n    path: apps/lab/{{stage}}\n    namespace: {}\n",
        lab.namespace()
    );
    let renamed = catalog.replacen("applications:\n", &rule, 1);
    lab.world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Renamed",
            &[("windlass.yaml", Some(&renamed))],
        )
        .unwrap();
    // Nothing is offered for deletion that the new name has, whether it was adopted yet or not.
    let gone = async || lab.world.application("lab.staging").await;
    lab.world
        .until("the old name is gone", async || {
            gone().await.is_null().then_some(())
        })
        .await;
    assert_eq!(uid().await, before);
    lab.world.windlass(&["adopt", "other/staging"]);
    lab.world
        .until("the new name has them", async || {
            let live = lab.object("v1", "ConfigMap", "configmaps", "lab").await;
            (live["metadata"]["annotations"]["windlass.dev/application"] == "other/staging")
                .then_some(())
        })
        .await;
    assert_eq!(uid().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_inventory_deletes_nothing_and_is_made_again() {
    let extra = CONFIG.replace("name: lab", "name: extra");
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
        ("extra.yaml", &extra),
    ])
    .await;
    let uid = lab.deployment().await["metadata"]["uid"].clone();
    lab.world.quiet().await;
    lab.world.kill();
    lab.world.kubectl(&[
        "-n",
        &lab.world.home(),
        "delete",
        "applications.windlass.dev/lab.staging",
    ]);
    let commit = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "No extra",
            &[("apps/lab/staging/extra.yaml", None)],
        )
        .unwrap();
    lab.world.start();
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(lab.deployment().await["metadata"]["uid"], uid);
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "extra")
            .await
            .is_object(),
        "what nothing remembers is not pruned"
    );
    let inventory = lab.world.application("lab.staging").await["status"]["inventory"].to_string();
    assert!(
        inventory.contains("/lab ") && !inventory.contains("/extra "),
        "{inventory}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_behind_the_same_address_is_noticed() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    lab.world.kill();
    let other = r#"{"status":{"clusterUid":"another"}}"#;
    lab.world.kubectl(&[
        "-n",
        &lab.world.home(),
        "patch",
        "applications.windlass.dev/lab.staging",
        "--subresource=status",
        "--type=merge",
        "-p",
        other,
    ]);
    lab.world.start();
    let (number, _) = lab
        .change(
            "more",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    has(
        &lab.merge(number, "failure").await,
        &["is not the one that it was"],
    );
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "1"
    );
    lab.world.comment("bob", number, "/adopt");
    let tip = lab.world.tip();
    lab.world.sync_status(&tip, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_path_is_a_move_and_not_a_new_beginning() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let uid = async |kind: &str, plural: &str, version: &str| {
        lab.object(version, kind, plural, "lab").await["metadata"]["uid"].clone()
    };
    let (config, workload) = (
        uid("ConfigMap", "configmaps", "v1").await,
        uid("Deployment", "deployments", "apps/v1").await,
    );
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: lab\n    path: moved/{{stage}}\n    namespace: {}\n",
        lab.namespace()
    );
    let moved = catalog.replacen("applications:\n", &rule, 1);
    let space = lab.world.file("apps/lab/staging/namespace.yaml");
    let files = [
        ("windlass.yaml", Some(moved.as_str())),
        ("moved/staging/namespace.yaml", Some(space.as_str())),
        ("moved/staging/config.yaml", Some(CONFIG)),
        ("apps/lab/staging/namespace.yaml", None),
        ("apps/lab/staging/config.yaml", None),
        ("apps/lab/staging/deployment.yaml", None),
    ];
    lab.world
        .forge
        .push("acme/config", "main", "ada", "Moved", &files)
        .unwrap();
    lab.world
        .until("what is not there any more waits", async || {
            lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .contains("its deletion waits for a confirmation")
                .then_some(())
        })
        .await;
    assert_eq!(
        (
            uid("ConfigMap", "configmaps", "v1").await,
            uid("Deployment", "deployments", "apps/v1").await
        ),
        (config, workload)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_refused_for_a_while_is_previewed_anew() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}later.example", lab.world.prefix);
    lab.may_write(&group, "gadgets");
    let gadget = format!("apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: lab}}\n");
    let (number, text) = lab
        .change("gadget", &[("gadget.yaml", Some(&gadget))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "install its CustomResourceDefinition first",
        ],
    );
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: gadgets.{group}}}\nspec: {{group: {group}, scope: Namespaced, names: {{kind: Gadget, plural: gadgets}}, versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]}}\n"
    );
    lab.with_file(&["create"], &definition);
    // Nobody says a word in the thread, and no branch moves.
    lab.world
        .until("it can be applied", async || {
            lab.world
                .conversation(number)
                .contains("verified by the cluster")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_turns_us_away_is_not_called_synced() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    lab.world.proxy.turn_away(true);
    let state = async || lab.world.application("lab.staging").await["status"].clone();
    // Nothing is pushed, and nobody asks: it is noticed all the same.
    lab.world
        .until("it is not called synced any more", async || {
            (state().await["sync"] == "Unknown").then_some(())
        })
        .await;
    has(state().await["message"].as_str().unwrap(), &["credentials"]);
    let changed = CONFIG.replace("'1'", "'2'");
    let commit = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "More",
            &[("apps/lab/staging/config.yaml", Some(&changed))],
        )
        .unwrap();
    has(
        &lab.world.sync_status(&commit, "error").await,
        &["stale: lab/staging"],
    );
    // Taken back before anybody could look at it: neither commit waits for ever.
    let back = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Back",
            &[("apps/lab/staging/config.yaml", Some(CONFIG))],
        )
        .unwrap();
    lab.world.proxy.turn_away(false);
    has(
        &lab.world.sync_status(&commit, "success").await,
        &[&format!("superseded by {}", &back[..12])],
    );
    lab.world.sync_status(&back, "success").await;
    assert!(plane().kubectl(&["version"]).is_ok());
}
