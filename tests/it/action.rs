//! The Actions of `deploy/action`, run as a workflow runs them, against the forge.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::lab::{CONFIG, has};
use crate::support::working_copy::WorkingCopy;
use crate::support::{Setup, World, plane};

/// A step of a workflow on a pull request.
struct Step<'a> {
    world: &'a World,
    copy: &'a WorkingCopy,
    number: u64,
}

impl Step<'_> {
    /// The script's output and exit code, the job summary, and the step's outputs.
    fn run(&self, inputs: &[(&str, &str)]) -> (String, i32, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let pull = self.world.read(&format!("pulls/{}", self.number));
        std::fs::write(file("event"), json!({"pull_request": pull}).to_string()).unwrap();
        for name in ["summary", "output"] {
            std::fs::write(file(name), "").unwrap();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/action/preview.sh");
        let token = self.world.forge.state().token_of("ada");
        let kustomize = plane().tools().program("kustomize").unwrap();
        let mut command = Command::new("sh");
        command
            .arg(script)
            .env("GITHUB_API_URL", self.world.forge.api_url())
            .env("GITHUB_REPOSITORY", "acme/config")
            .env("GITHUB_EVENT_NAME", "pull_request")
            .env("GITHUB_EVENT_PATH", file("event"))
            .env("GITHUB_STEP_SUMMARY", file("summary"))
            .env("GITHUB_OUTPUT", file("output"))
            .env("RUNNER_TEMP", folder.path())
            .env("INPUT_BINARY", env!("CARGO_BIN_EXE_windlass"))
            .env("INPUT_TOKEN", token)
            .env("INPUT_COMMENT_AUTHOR", "ada")
            .env("INPUT_KUBECONFIG_FILE", plane().kubeconfig())
            .env("INPUT_KUSTOMIZE", kustomize)
            .env("INPUT_NAMESPACE", "no-windlass")
            .env("INPUT_REPOSITORY_PATH", self.copy.folder());
        command.envs(inputs.iter().copied());
        let said = command.output().unwrap();
        let printed = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let code = said.status.code().unwrap();
        (
            printed.concat(),
            code,
            read(&file("summary")),
            read(&file("output")),
        )
    }

    fn comments(&self) -> Vec<String> {
        let all = self.world.comments(self.number);
        let body = |comment: &Value| comment["body"].as_str().unwrap().to_string();
        all.iter().map(body).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_has_one_comment_by_the_action() {
    let world = World::asleep(Setup::default()).await;
    let namespace = world.namespace("action");
    world.kubectl(&["create", "namespace", &namespace]);
    let overlay = format!("namespace: {namespace}\nresources: [config.yaml]\n");
    world.commit(
        "Without windlass",
        &[
            ("windlass.yaml", None),
            ("one/kustomization.yaml", Some(&overlay)),
            ("one/config.yaml", Some(CONFIG)),
        ],
    );
    let more = |value: &str| CONFIG.replace("'1'", &format!("'{value}'"));
    let number = world.propose("bob", "change", &[("one/config.yaml", Some(&more("2")))]);
    let from = world.forge.repository_path("acme", "config");
    let copy = WorkingCopy::cloned(&from, "change");
    let step = Step {
        world: &world,
        copy: &copy,
        number,
    };
    let (said, code, summary, output) = step.run(&[]);
    assert_eq!(code, 0, "{said}");
    has(&output, &["changes=true", "exit-code=1"]);
    has(&summary, &["**1 of", "ConfigMap"]);
    let comments = step.comments();
    assert_eq!(comments.len(), 1, "{said}");
    has(
        &comments[0],
        &["<!-- windlass:plan default -->", "-  a: '1'\n+  a: '2'"],
    );
    assert!(!comments[0].contains("/help"), "nobody answers it");
    // The comment of the next head is the same one.
    world
        .forge
        .push(
            "acme/config",
            "change",
            "bob",
            "More",
            &[("one/config.yaml", Some(&more("3")))],
        )
        .unwrap();
    copy.git(&["fetch", "-q", "origin"]);
    copy.git(&["reset", "-q", "--hard", "origin/change"]);
    let (said, code, ..) = step.run(&[("INPUT_FAIL_ON", "changes")]);
    assert_eq!((code, step.comments().len()), (1, 1), "{said}");
    has(&step.comments()[0], &["+  a: '3'"]);
    // A token that may not write: the summary has it all the same.
    let (said, code, summary, _) = step.run(&[("INPUT_TOKEN", "none")]);
    assert_eq!(code, 0, "{said}");
    has(&summary, &["There is no comment with this preview"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_announced_in_one_step() {
    let world = World::new().await;
    // `signed`: no token is given, and GitHub gives the job one.
    let announce = |tag: &str, token: &str| {
        let request = format!(
            "{}/_services/pipelines/token?api-version=2.0",
            world.forge.url()
        );
        let of_job = match token {
            "signed" => vec![
                ("ACTIONS_ID_TOKEN_REQUEST_URL", request.as_str()),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "acme/shop"),
            ],
            _ => vec![],
        };
        let token = if token == "signed" { "" } else { token };
        let event = crate::support::image_event(tag);
        let field = |name: &str| event[name].as_str().unwrap().to_string();
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/action/announce/announce.sh"
        );
        let said = Command::new("sh")
            .arg(script)
            .env("INPUT_URL", &world.windlass.url)
            .envs(of_job)
            .env("INPUT_TOKEN", token)
            .env("INPUT_IMAGE", field("image"))
            .env("INPUT_DIGEST", field("digest"))
            .env("INPUT_TAG", field("tag"))
            .env("INPUT_COMMIT", field("commit"))
            .env("INPUT_SOURCE", field("source"))
            .env("INPUT_WAIT", "60")
            .output()
            .unwrap();
        let printed = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap());
        (printed.concat(), said.status.code().unwrap())
    };
    let token = &world.windlass.events_token;
    // Without a token, the job's own is used: GitHub has to give it one.
    let (said, code) = announce("1.1.0", "");
    assert_eq!(code, 2, "{said}");
    has(
        &said,
        &["add `permissions: { id-token: write }` to the job"],
    );
    let (said, code) = announce("1.1.0", "signed");
    assert_eq!(code, 0, "{said}");
    has(&said, &["::add-mask::eyJ"]);
    let (said, code) = announce("1.1.0", token);
    assert_eq!(code, 0, "{said}");
    world.pull_request("staging").await;
    let (said, code) = announce("1.1.1", "wrong");
    assert_eq!(code, 1, "{said}");
}
