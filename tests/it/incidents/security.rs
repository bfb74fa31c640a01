//! Secrets, permissions and hostile input.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::Role;

use crate::support::World;
use crate::support::lab::{CONFIG, Lab, has, has_not};

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
    let commit = world.commit("More", &[("apps/shop/staging/config.yaml", Some(config))]);
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
