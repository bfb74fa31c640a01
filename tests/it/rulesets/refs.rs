//! Rules about branches that no pull request moves, at each of the four doors: REST, the two
//! mutations, and git itself.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::Rule;

use super::{Desk, REPOSITORY};

const CREATE_COMMIT: &str = "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }";
const UPDATE_REFS: &str =
    "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }";

fn everywhere() -> Rule {
    Rule {
        branch: "~ALL".into(),
        ..Rule::default()
    }
}

fn error(answer: &Value) -> &str {
    answer["errors"][0]["message"].as_str().unwrap_or_default()
}

impl Desk {
    async fn update_ref(&self, branch: &str, before: &str, after: &str, force: bool) -> Value {
        let id = {
            let path = format!("/repos/{REPOSITORY}");
            let told = self
                .forge
                .as_user("ada", Method::GET, &path, Value::Null)
                .unwrap();
            told["node_id"].clone()
        };
        let update = json!({"name": format!("refs/heads/{branch}"), "beforeOid": before, "afterOid": after, "force": force});
        let input = json!({"repositoryId": id, "refUpdates": [update]});
        self.graphql(UPDATE_REFS, input).await
    }

    async fn commit(&self, branch: &str) -> Value {
        let input = json!({"branch": {"repositoryNameWithOwner": REPOSITORY, "branchName": branch},
            "expectedHeadOid": self.tip(branch), "message": {"headline": "By mutation"},
            "fileChanges": {"additions": [{"path": "m.txt", "contents": "bQo="}]}});
        self.graphql(CREATE_COMMIT, input).await
    }

    /// A push of git's own by bob; what it printed, and whether it worked.
    fn git_push(&self, refspec: &str) -> (bool, String) {
        use base64::Engine as _;
        let token = self.forge.state().token_of("bob");
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x:{token}"));
        let url = format!("{}/{REPOSITORY}.git", self.forge.url());
        let header = format!("http.extraHeader=Authorization: Basic {basic}");
        let git = |arguments: &[&str]| {
            let mut command = std::process::Command::new("git");
            command
                .args(["-c", &header, "-c", "user.name=bob", "-c", "user.email=b@b"])
                .args(arguments)
                .current_dir(self.folder.path())
                .env("GIT_TERMINAL_PROMPT", "0")
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
            let output = command.output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), words)
        };
        let folder = format!("clone-{}", refspec.replace(['/', ':', '+'], "-"));
        assert!(git(&["clone", "--quiet", &url, &folder]).0);
        let commit = [
            "-C",
            &folder,
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "x",
        ];
        assert!(git(&commit).0);
        git(&["-C", &folder, "push", "origin", refspec])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creations_are_refused_at_every_door() {
    let desk = Desk::new().await;
    desk.rule(Rule {
        restrict_creation: true,
        ..everywhere()
    });
    let tip = desk.tip("main");
    let zero = "0".repeat(40);
    let body = || json!({"ref": "refs/heads/new", "sha": tip});
    let (status, answer) = desk.app(Method::POST, "git/refs", body()).await;
    assert_eq!(
        (status, &answer["message"]),
        (422, &json!("Reference update failed"))
    );
    let answer = desk.update_ref("new", &zero, &tip, false).await;
    assert_eq!(
        error(&answer),
        "Repository rule violations found\n\nCannot create ref due to creations being restricted.\n\n"
    );
    let (pushed, words) = desk.git_push("HEAD:refs/heads/new");
    assert!(!pushed);
    for said in [
        "remote: error: GH013: Repository rule violations found for refs/heads/new.",
        "remote: - Cannot create ref due to creations being restricted.",
        "(push declined due to repository rule violations)",
    ] {
        assert!(words.contains(said), "{words}");
    }
    // Rules for branches say nothing of other refs.
    let notes = json!({"ref": "refs/notes/any", "sha": tip});
    assert_eq!(desk.app(Method::POST, "git/refs", notes).await.0, 201);
    desk.rule(everywhere());
    assert_eq!(desk.app(Method::POST, "git/refs", body()).await.0, 201);
    let (pushed, words) = desk.git_push("HEAD:refs/heads/newer");
    assert!(pushed, "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_refused_at_every_door() {
    let desk = Desk::new().await;
    let head = desk.push("bob", "topic", "a.txt", "a\n");
    let tip = desk.tip("main");
    let table = [
        (
            Rule {
                restrict_update: true,
                ..everywhere()
            },
            "Cannot update this protected ref.",
        ),
        (
            Rule {
                pull_request: true,
                ..everywhere()
            },
            "Changes must be made through a pull request.",
        ),
        (
            Rule {
                status_checks: vec!["ci".into()],
                ..everywhere()
            },
            "Required status check \"ci\" is expected.",
        ),
    ];
    for (rule, words) in table {
        desk.rule(rule);
        let answer = desk.commit("topic").await;
        assert!(error(&answer).contains(words), "{answer}");
        let answer = desk.update_ref("main", &tip, &head, false).await;
        assert!(error(&answer).contains(words), "{answer}");
        let body = json!({"sha": head});
        let (status, answer) = desk.app(Method::PATCH, "git/refs/heads/main", body).await;
        let said = answer["message"].as_str().unwrap();
        assert!(status == 422 && said.contains(words), "{answer}");
    }
    desk.rule(Rule {
        pull_request: true,
        ..everywhere()
    });
    let (pushed, words) = desk.git_push("HEAD:refs/heads/main");
    assert!(!pushed && words.contains("remote: - Changes must be made through a pull request."));
    assert_eq!((desk.tip("main"), desk.tip("topic")), (tip, head.clone()));
    desk.rule(everywhere());
    assert_eq!(error(&desk.commit("topic").await), "");
    assert_ne!(desk.tip("topic"), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn force_pushes_and_deletions_are_refused() {
    let desk = Desk::new().await;
    let head = desk.push("bob", "topic", "a.txt", "a\n");
    let tip = desk.tip("main");
    desk.rule(Rule {
        non_fast_forward: true,
        restrict_deletion: true,
        required_linear_history: true,
        ..everywhere()
    });
    let answer = desk.update_ref("topic", &head, &tip, true).await;
    assert!(error(&answer).contains("Cannot force-push to this branch"));
    let (status, answer) = desk
        .app(Method::DELETE, "git/refs/heads/topic", Value::Null)
        .await;
    let said = answer["message"].as_str().unwrap();
    assert!(status == 422 && said.contains("Cannot delete this branch"));
    let (pushed, words) = desk.git_push("+HEAD:refs/heads/topic");
    assert!(
        !pushed && words.contains("- Cannot force-push to this branch"),
        "{words}"
    );
    assert_eq!(desk.tip("topic"), head);
    desk.rule(everywhere());
    let (pushed, words) = desk.git_push("+HEAD~0:refs/heads/topic");
    assert!(pushed, "{words}");
    let removed = desk.app(Method::DELETE, "git/refs/heads/topic", Value::Null);
    assert_eq!(removed.await.0, 204);
}
