//! Windlass's comments, branches and names are its own; what it says is whole and tells no secret.

use http::Method;
use serde_json::json;

use crate::support::World;
use crate::support::lab::{CONFIG, Lab, has};

#[tokio::test(flavor = "multi_thread")]
async fn our_comment_is_ours_to_the_letter() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "hi",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    let comments = world.comments(number);
    let (id, body) = (
        comments[0]["id"].clone(),
        comments[0]["body"].as_str().unwrap().to_string(),
    );
    let marker = body.lines().next().unwrap();
    let forged = format!("{marker}\n**No application changes**\n");
    world.as_user(
        "bob",
        Method::PATCH,
        &format!("issues/comments/{id}"),
        json!({"body": forged}),
    );
    world
        .until("it is written anew", async || {
            world
                .comments(number)
                .iter()
                .any(|c| c["body"].as_str() == Some(&body))
                .then_some(())
        })
        .await;
    has(
        &world.conversation(number),
        &["Somebody edited [windlass's comment]"],
    );
    // A reply that somebody makes name another comment swallows nothing.
    let asked = world.comment("mia", number, "/why");
    let reply = |to: u64| format!("<!-- windlass:reply {to} -->");
    let answer = world
        .until("the answer", async || {
            world
                .comments(number)
                .into_iter()
                .find(|c| c["body"].as_str().unwrap().starts_with(&reply(asked)))
        })
        .await;
    world.kill();
    let next = world.comment("mia", number, "/help");
    // GitHub's times have whole seconds.
    world
        .until("it is edited in a later second", async || {
            let text = format!("{}\nnothing\n", reply(next));
            world.as_user(
                "bob",
                Method::PATCH,
                &format!("issues/comments/{}", answer["id"]),
                json!({"body": text}),
            );
            (world.read(&format!("issues/comments/{}", answer["id"]))["updated_at"]
                != answer["created_at"])
                .then_some(())
        })
        .await;
    world.start();
    world
        .until("the real answer", async || {
            world
                .comments(number)
                .iter()
                .any(|c| {
                    c["id"] != answer["id"] && c["body"].as_str().unwrap().starts_with(&reply(next))
                })
                .then_some(())
        })
        .await;
    // What was answered before is not carried out once more.
    world
        .until("the old command is not carried out again", async || {
            world
                .comments(number)
                .iter()
                .any(|c| {
                    c["body"].as_str().is_some_and(|body| {
                        body.starts_with(&reply(asked)) && body.contains("does not run now")
                    })
                })
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_branch_of_our_name_is_left_alone() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let head = world
        .forge
        .push(
            "acme/config",
            "windlass/shop/staging",
            "bob",
            "Mine",
            &[(file, Some(&world.file(file).replace("hello", "bob's")))],
        )
        .unwrap();
    let pull = world.as_user(
        "bob",
        Method::POST,
        "pulls",
        json!({"title": "bob's", "head": "windlass/shop/staging", "base": "main"}),
    );
    let number = pull["number"].as_u64().unwrap();
    let (status, answer) = world.announce("1.1.0").await;
    assert_eq!(status, 409, "{answer}");
    has(
        &answer.to_string(),
        &["windlass/shop/staging", "is not windlass's"],
    );
    world.quiet().await;
    assert_eq!(
        (
            world.head(number),
            world.read(&format!("pulls/{number}"))["title"].clone()
        ),
        (head, json!("bob's"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    for (branch, name) in [
        ("a", "mine#"),
        ("b", "mine?fieldManager=evil&force=true#"),
        ("c", "kube-system/secrets/cloud"),
        ("d", "a b"),
        ("e", ".."),
    ] {
        let text = CONFIG.replace("name: lab", &format!("name: '{name}'"));
        let (number, comment) = lab.change(branch, &[("more.yaml", Some(&text))]).await;
        has(&comment, &["is not a valid Kubernetes name"]);
        assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
        lab.world.gate_status(number, "failure").await;
    }
    let asked = lab.world.proxy.take_asked();
    assert!(
        !asked
            .iter()
            .any(|what| what.contains("mine") || what.contains("secrets/cloud")),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_of_an_immutable_secret_is_not_confirmed() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.with_file(&["create"], "apiVersion: v1\nkind: Secret\nmetadata: {name: theirs}\nimmutable: true\nstringData: {pass: hunter2}\n");
    let guess = async |branch: &str, text: &str| {
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: theirs}}\nimmutable: true\nstringData: {{pass: {text}}}\n"
        );
        let (_, comment) = lab.change(branch, &[("secret.yaml", Some(&secret))]).await;
        comment
            .lines()
            .filter(|line| !line.starts_with("<!--") && !line.starts_with("<sub>"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let right = guess("right", "hunter2").await;
    assert_eq!(right, guess("wrong", "hunter3").await);
    has(
        &right,
        &["is immutable, and was not made by this application"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_said_and_what_is_dangerous_comes_first() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    // More than ten pages of data, and one object that matters, whose name would come last.
    let long: String = (0..1_000)
        .map(|n| format!("    line {n} of what nobody reads to its end\n"))
        .collect();
    let all: String =
        (0..12).map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{n:02}}}\ndata:\n  text: |\n{long}")).collect();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: zzz}\nspec: {containers: [{name: a, image: a}]}\n";
    let (number, comment) = lab
        .change(
            "flood",
            &[("data.yaml", Some(&all)), ("zzz.yaml", Some(pod))],
        )
        .await;
    has(&comment, &["not shown"]);
    let check = lab.world.previewed(number).await;
    assert_eq!(check["conclusion"], "neutral");
    has(
        check["output"]["title"].as_str().unwrap(),
        &["changes not shown"],
    );
    let text = check["output"]["text"].as_str().unwrap();
    let first = text.find("<summary>").map(|at| &text[at..]).unwrap();
    assert!(
        first.starts_with("<summary><code>Pod "),
        "{}",
        &first[..200]
    );
    lab.world.approve("mia", number);
    let waits = lab.world.gate_status(number, "pending").await;
    has(&waits, &["do not fit into the preview", "/accept-unseen"]);
    // Not the author himself; somebody who may approve.
    lab.world.comment("bob", number, "/accept-unseen");
    lab.world
        .until("it does not count", async || {
            lab.world
                .conversation(number)
                .contains("That does not count")
                .then_some(())
        })
        .await;
    lab.world.comment("ada", number, "/accept-unseen");
    lab.world.gate_status(number, "success").await;
}
